"""SqueezeNet 1.1: torchvision's names, and its predictions with the real weights."""

from pathlib import Path

import pytest
import torch

from recap.backbones.backbone import Backbone
from recap.backbones.images import load_images


def test_parameter_names_and_count_are_torchvisions(random_squeezenet: Backbone) -> None:
    names = set(random_squeezenet.state_dict())
    fires = [3, 4, 6, 7, 9, 10, 11, 12]
    layers = ["features.0", "classifier.1"]
    layers += [f"features.{i}.{part}" for i in fires for part in ("squeeze", "expand1x1", "expand3x3")]
    assert names == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert sum(weight.numel() for weight in random_squeezenet.parameters()) == 1_235_496


def test_shapes_of_features_and_logits(random_squeezenet: Backbone) -> None:
    images = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    x = random_squeezenet.preprocess(images)
    assert x.shape == (2, 3, 224, 224)
    assert x.dtype == torch.float32
    assert random_squeezenet.features(x).shape == (2, 512)
    assert random_squeezenet(x).shape == (2, 1000)


def test_preprocessing_is_torchvisions(random_squeezenet: Backbone) -> None:
    pixel = torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8)
    expected = torch.tensor([(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225])
    assert torch.allclose(random_squeezenet.preprocess(pixel).flatten(), expected, atol=1e-6)


@pytest.mark.shared
def test_real_photographs_are_recognised(shared: Path, squeezenet: Backbone) -> None:
    seen = {
        "000000000285.jpg": "brown bear",
        "000000000785.jpg": "ski",
        "000000000885.jpg": "racket",
        "000000002149.jpg": "Granny Smith",
        "000000002592.jpg": "coffee mug",
    }
    images = load_images([shared / "real" / "images" / name for name in seen], squeezenet)
    best = squeezenet(squeezenet.preprocess(images)).argmax(dim=1)
    names = [squeezenet.heads["class"][index].split(",")[0] for index in best]
    assert names == list(seen.values())

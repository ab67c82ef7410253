"""VGG-16 and ResNets: torchvision's names, shapes and numbers, and what weights of old lack."""

import hashlib
from pathlib import Path

import pytest
import torch

from recap.backbones.backbone import Backbone
from recap.backbones.build import build_backbone, load_backbone, save_backbone
from recap.errors import InputError
from recap.sources.registry import find_remote

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [f"class {index}" for index in range(1000)]
TORCHVISION = {
    "vgg16": (138_357_544, "92a79ffeaeb13367adfd0f677a9ea94dfb434bdd3f1410c12e16a87a09cf29d2"),
    "resnet50": (25_557_032, "2c98c46aa007d7953a2e6dd934f8f7e7e0eba93e42cc4e286a3a0e3e639663de"),
    "resnet101": (44_549_160, "63c86ef1846b629588195518db6de9ed053d24b88a34adca800955d385d37519"),
    "squeezenet1_1": (1_235_496, "953af50ba43fa0f8a649669b51353bc0123aa89087074ea5c011bbc2bb163dc3"),
}
"""Parameters, and the SHA-256 of the sorted lines "name shape dtype" of torchvision 0.29.1's state dicts."""


def build(name: str) -> Backbone:
    return build_backbone({"name": name, "heads": {"class": CLASSES}})


def filled(name: str) -> Backbone:
    """With weights that keep values of moderate size."""
    backbone, generator = build(name), torch.Generator().manual_seed(0)
    for key, value in backbone.state_dict().items():
        if value.ndim > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif value.is_floating_point():
            value.fill_(0.2 if key.endswith("bn3.weight") else float(key.endswith(("var", "bn1.weight"))))
        else:
            value.zero_()
    return backbone.eval()


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_and_names_are_torchvisions(name: str) -> None:
    backbone = build(name)
    lines = [
        f"{key} {tuple(value.shape)} {value.dtype}" for key, value in sorted(backbone.state_dict().items())
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert (sum(weight.numel() for weight in backbone.parameters()), digest) == TORCHVISION[name]


@pytest.mark.parametrize(("name", "width"), [("vgg16", 4096), ("resnet50", 2048), ("resnet101", 2048)])
def test_features_are_what_the_classifier_reads(name: str, width: int) -> None:
    backbone = filled(name)
    assert (backbone.feature_dim, backbone.input_size, backbone.shorter_side) == (width, 224, 256)
    x = backbone.preprocess(torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8))
    with torch.no_grad():
        features, logits = backbone.features(x), backbone(x)
    assert features.shape == (2, width)
    assert (features >= 0).all(), "they come from a ReLU"
    last = backbone.get_submodule("classifier.6" if name == "vgg16" else "fc")
    torch.testing.assert_close(last(features), logits)
    assert dict(backbone.named_children())[backbone.maps_layer] is backbone.last_maps


def test_published_weights_without_counters_are_whole(tmp_path: Path) -> None:
    weights = filled("resnet50").state_dict()
    old = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    description = {"name": "resnet50", "heads": {"class": CLASSES}}
    save_backbone(tmp_path, description, old)
    assert load_backbone(tmp_path).state_dict().keys() == weights.keys()
    del old["fc.bias"]
    save_backbone(tmp_path, description, old)
    with pytest.raises(InputError, match=r"received others: fc\.bias is absent$"):
        load_backbone(tmp_path)


@pytest.mark.parametrize(
    "file",
    ["vgg16-397923af", "resnet50-0676ba61", "resnet50-11ad3fa6", "resnet101-63fe2227", "resnet101-cd907fc2"],
)
def test_the_published_hash_is_known(file: str) -> None:
    url = f"https://download.pytorch.org/models/{file}.pth"
    assert find_remote(url, ROOT / "downloads.json").sha256 == file.rpartition("-")[2]

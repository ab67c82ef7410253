"""An encoder of the user's: one file, a function that gives a network and its preprocessing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recap.backbones.build import load_backbone
from recap.backbones.config import FeaturesConfig
from recap.backbones.fetched import prepare_fetched
from recap.backbones.images import load_images
from recap.core.artifacts import write_safetensors
from recap.errors import InputError
from recap.features.extraction import compute_features
from recap.sources.download import Files

COLOURS = '''
import torch

class Colours(torch.nn.Module):
    """The mean colour, through a layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.layer = torch.nn.Linear(3, 7)

    def forward(self, x):
        return self.layer(x.mean(dim=(2, 3)))

def build(pretrained=True):
    module = Colours()
    if not pretrained:
        torch.nn.init.zeros_(module.layer.weight)
    return module, {"size": 24, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}
'''
TRANSFORMERS = """
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

SMALL = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)

def clip():
    torch.manual_seed(0)
    module = CLIPVisionModel(CLIPVisionConfig(**SMALL, intermediate_size=32))
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    return module, {"size": 32, "mean": mean, "std": std, "interpolation": "bicubic"}

def dinov2():
    torch.manual_seed(0)
    preprocessing = {"size": 32, "resize": 36, "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    return Dinov2Model(Dinov2Config(**SMALL, mlp_ratio=2)), preprocessing
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's root with a folder of encoders and an image."""
    monkeypatch.chdir(tmp_path)
    Path("encoders").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    return tmp_path


def prepare(backbone: str, weights: str | None = None) -> dict[str, float]:
    config = FeaturesConfig(backbone, None, weights, None, None, 32, 1, False)
    return prepare_fetched(config, Path("models/backbone"), Files(Path("d"), Path("d.json"), offline=True))


def test_it_is_kept_with_its_code_and_loaded_without_the_users_file() -> None:
    Path("encoders/mine.py").write_text(COLOURS)
    assert prepare("encoders/mine.py:build") == {"parameters": 28}
    Path("encoders/mine.py").unlink()
    backbone = load_backbone(Path("models/backbone"))
    assert (backbone.feature_dim, backbone.input_size, backbone.heads) == (7, 24, {})
    torch.manual_seed(5)
    layer = torch.nn.Linear(3, 7)
    pixels = load_images([Path("a.png")], backbone)
    colours = (pixels.float().mean(dim=(1, 2)) / 255 - torch.tensor([0.5, 0.4, 0.3])) / 0.2
    expected = layer(colours).detach().numpy()
    np.testing.assert_allclose(compute_features([Path("a.png")], backbone), expected, rtol=1e-4)
    assert json.loads(Path("models/backbone/backbone.json").read_text())["feature_dim"] == 7


def test_its_weights_may_come_from_a_file_under_its_own_names() -> None:
    Path("encoders/mine.py").write_text(COLOURS)
    write_safetensors(
        Path("own.safetensors"), {"layer.weight": torch.ones(7, 3), "layer.bias": torch.zeros(7)}
    )
    prepare("encoders/mine.py:build", "own.safetensors")
    network = load_backbone(Path("models/backbone")).network
    assert (network.get_parameter("layer.weight") == 1).all()
    write_safetensors(Path("own.safetensors"), {"layer.weight": torch.ones(7, 3)})
    with pytest.raises(InputError, match=r"expected the weights of encoder, .*layer\.bias is absent"):
        prepare("encoders/mine.py:build", "own.safetensors")


@pytest.mark.parametrize("function", ["clip", "dinov2"])
def test_transformers_are_encoders(function: str) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers, which is absent")
    Path("encoders/mine.py").write_text(TRANSFORMERS)
    prepare(f"encoders/mine.py:{function}")
    backbone = load_backbone(Path("models/backbone"))
    assert isinstance(backbone.network, transformers.PreTrainedModel)
    features = compute_features([Path("a.png")], backbone)
    assert features.shape == (1, 16)
    x = backbone.preprocess(load_images([Path("a.png")], backbone))
    with torch.no_grad():
        np.testing.assert_allclose(features, backbone.network(x).pooler_output.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "has no attribute 'build'"),
        ("import nothing_like_it", "received: ModuleNotFoundError"),
        ("def build(: pass", "received: SyntaxError"),
        ("def build(): return 3", "received: TypeError"),
        (
            "def build(): return 3, {}",
            "expected a module and its preprocessing, received: TypeError: int, dict",
        ),
        ("import torch\ndef build(): return torch.nn.Identity(), {}", "expected size, mean and std"),
        (COLOURS.replace('"size": 24', '"size": 0'), "expected size, resize"),
        (COLOURS.replace('"size": 24', '"size": 24, "crop": 3'), "expected size, resize"),
        (COLOURS.replace('"size": 24', '"size": 24, "interpolation": "cubic"'), "expected size, resize"),
        (COLOURS.replace(".mean(dim=(2, 3))", ""), "expected features, received: RuntimeError"),
        (
            COLOURS.replace("self.layer(x.mean(dim=(2, 3)))", "x"),
            r"expected features \(1, D\), received \(1, 3",
        ),
        (COLOURS.replace("self.layer(x.mean(dim=(2, 3)))", "(x, x)"), r"\(1, D\), received tuple"),
    ],
)
def test_what_is_no_encoder_is_told_in_a_line(code: str, message: str) -> None:
    Path("encoders/mine.py").write_text(code)
    with pytest.raises(InputError, match=message) as caught:
        prepare("encoders/mine.py:build")
    assert str(caught.value).startswith("features.backbone: encoders/mine.py: build: ")
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_told() -> None:
    with pytest.raises(InputError, match=r"features\.backbone: encoders/no\.py: expected a readable file"):
        prepare("encoders/no.py:build")

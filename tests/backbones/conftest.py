"""Backbones that the tests of vision look into."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from recap.backbones.backbone import Backbone
from recap.backbones.build import load_backbone
from recap.backbones.config import FeaturesConfig
from recap.backbones.fetched import prepare_fetched
from recap.backbones.squeezenet import SqueezeNet
from recap.sources.download import Files


class TinyBackbone(Backbone):
    """Two heads on a smooth network, so that finite differences are sharp."""

    name = "tiny"
    input_size = 12
    shorter_side = 12
    feature_dim = 6

    def __init__(self) -> None:
        super().__init__()
        self.heads = {"digit": ("one", "two", "three"), "colour": ("red", "blue")}
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 5, stride=2), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.classifier = nn.Linear(6, 5)
        self.register_buffer("mean", torch.full((3,), 0.5), persistent=False)
        self.register_buffer("std", torch.full((3,), 0.25), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def seeded(build: type[Backbone], *arguments: object) -> Backbone:
    """A backbone with the same weights on every run, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(*arguments).eval()


@pytest.fixture(scope="session")
def tiny_backbone() -> Backbone:
    return seeded(TinyBackbone)


@pytest.fixture(scope="session")
def random_squeezenet() -> Backbone:
    return seeded(SqueezeNet, [f"class {index}" for index in range(1000)])


@pytest.fixture(scope="session")
def squeezenet_directory(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("squeezenet")
    weights = shared / "weights" / "squeezenet1_1.safetensors"
    names = shared / "weights" / "imagenet_classes.txt"
    files = Files(directory / "downloads", directory / "downloads.json", offline=True)
    prepare_fetched(
        FeaturesConfig("squeezenet1_1", None, str(weights), None, str(names), 32, 1, False), directory, files
    )
    return directory


@pytest.fixture(scope="session")
def squeezenet(squeezenet_directory: Path) -> Backbone:
    """SqueezeNet 1.1 as it was trained on ImageNet."""
    return load_backbone(squeezenet_directory)

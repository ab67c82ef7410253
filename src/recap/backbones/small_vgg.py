"""A small VGG-style network for 64 x 64 images: 3 x 3 convolutions, then the layers fc6 and fc7, then heads.

Source: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556, with batch normalization (Ioffe and Szegedy 2015, arXiv:1502.03167).
Shapes: N batch, S = 64 pixels a side, D feature width, C classes of all heads together, M channels of maps.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recap.backbones.backbone import Backbone

BLOCKS = ((16, 1, True), (32, 1, True), (64, 2, True), (96, 1, False))
"""Channels, convolutions, and whether 2 x 2 pooling halves the side, of each block."""
MAPS_SIDE = 8
FC6_DIM = 512


class SmallVgg(Backbone):
    """The network that the stage `backbone` trains on scenes."""

    name = "small_vgg"
    input_size = 64
    shorter_side = 64

    def __init__(self, feature_dim: int, heads: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.heads = {name: tuple(labels) for name, labels in heads.items()}
        # Channels last: convolutions on a CPU run about twice as fast.
        self.convolutions = nn.Sequential(*_convolutions()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.maps_dim = BLOCKS[-1][0]
        self.fc6 = nn.Linear(self.maps_dim * MAPS_SIDE**2, FC6_DIM, bias=False)
        self.fc6_norm = nn.BatchNorm1d(FC6_DIM)
        self.fc7 = nn.Linear(FC6_DIM, feature_dim, bias=False)
        self.fc7_norm = nn.BatchNorm1d(feature_dim)
        self.classifier = nn.Linear(feature_dim, sum(len(labels) for labels in self.heads.values()))
        self.register_buffer("mean", torch.full((3,), 0.5), persistent=False)
        self.register_buffer("std", torch.full((3,), 0.25), persistent=False)

    def maps(self, x: Tensor) -> Tensor:
        """The last convolution's maps: (N, 3, side, side) -> (N, M, side / 8, side / 8)."""
        maps: Tensor = self.convolutions(x.contiguous(memory_format=torch.channels_last))
        return maps

    def pool(self, maps: Tensor) -> Tensor:
        """fc7 after normalization and ReLU: (N, M, 8, 8) float32 -> (N, D) float32."""
        x = maps.flatten(1)  # (N, M, 8, 8) -> (N, M * 64)
        x = torch.relu(self.fc6_norm(self.fc6(x)))
        return torch.relu(self.fc7_norm(self.fc7(x)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) float32 -> logits (N, C) float32, heads side by side."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


def _convolutions() -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for width, count, pooled in BLOCKS:
        for number in range(count):
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False))
            if pooled and number == count - 1:
                # Pooling before normalization leaves a quarter of the values to normalize.
                layers.append(nn.MaxPool2d(2))
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return layers

"""Small VGG-style networks for 64 x 64 images: one of two streams, which see form and colour, and one of one.

The stage `backbone` trains that of two streams. The stream of form sees no colour at all, the heads of digits
read nothing else, and those of colours nothing of it: what tells digits apart holds in every colour, also in
unseen ones. (Seeing has two such streams: Livingstone and Hubel 1988, "Segregation of form, color, movement,
and depth".) Each stream has 3 x 3 convolutions, then the layers fc6 and fc7, whose values side by side are
the feature.

Source: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556, with batch normalization (Ioffe and Szegedy 2015, arXiv:1502.03167).
Shapes: N batch, S = 64 pixels a side, D feature width, C classes of all heads together, M channels of maps.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recap.backbones.backbone import Backbone, head_slices

FORM = ((16, True), (32, True), (64, False), (64, True), (64, False))
"""Channels of each convolution, and whether 2 x 2 pooling halves the side."""
COLOUR = ((16, True), (32, True), (32, False))
"""The same for the other stream, which sees the image at half its size."""
ONE_STREAM = ((16, True), (32, True), (64, False), (64, True), (96, False))
"""The same for the network of one stream."""
FC6_DIM = 512
MAPS_SIDE = 8
COLOUR_PART = 4  # one in so many entries of a feature is of colour


class SceneNetwork(Backbone):
    """What both networks have in common: the size of their images, and a classifier behind the feature."""

    input_size = 64
    shorter_side = 64
    classifier: nn.Module

    def __init__(self, feature_dim: int, heads: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.heads = {name: tuple(labels) for name, labels in heads.items()}
        self.register_buffer("mean", torch.full((3,), 0.5), persistent=False)
        self.register_buffer("std", torch.full((3,), 0.25), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) float32 -> logits (N, C) float32, heads side by side."""
        return self.classifier(self.features(x))


class TwoStreamVgg(SceneNetwork):
    """The network that the stage `backbone` trains on scenes."""

    name = "two_stream_vgg"

    def __init__(self, feature_dim: int, heads: Mapping[str, Sequence[str]]) -> None:
        super().__init__(feature_dim, heads)
        # Channels last: convolutions on a CPU run about twice as fast.
        self.convolutions = Streams().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.maps_dims = (FORM[-1][0], COLOUR[-1][0])
        colour_dim = max(feature_dim // COLOUR_PART, 1)
        form_dim = feature_dim - colour_dim
        self.form = _fully_connected(self.maps_dims[0] * MAPS_SIDE**2, form_dim)
        self.colour = _fully_connected(self.maps_dims[1] * MAPS_SIDE**2, colour_dim)
        self.classifier = Classifier(form_dim, colour_dim, self.heads)

    def pool(self, maps: Tensor) -> Tensor:
        """fc7 of both streams after normalization and ReLU: (N, M, 8, 8) float32 -> (N, D) float32."""
        form, colour = maps.split(self.maps_dims, dim=1)
        return torch.cat((self.form(form.flatten(1)), self.colour(colour.flatten(1))), dim=1)


class Streams(nn.Module):
    """The convolutions: of form, and of colour."""

    def __init__(self) -> None:
        super().__init__()
        self.form = nn.Sequential(*_convolutions(1, FORM))
        self.colour = nn.Sequential(*_convolutions(3, COLOUR))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, M, side / 8, side / 8), channels of form first."""
        first, *others = self.form
        # the order of a single channel is none, and the next layers would take the slow one
        form = first(contrast(x)).contiguous(memory_format=torch.channels_last)
        for layer in others:
            form = layer(form)
        half = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5))  # of 2 x 2 pixels
        colour = self.colour(half.contiguous(memory_format=torch.channels_last))
        return torch.cat((form, colour), dim=1)


class Classifier(nn.Linear):
    """The logits of all heads, from form and colour side by side; see ``reads``."""

    read: Tensor

    def __init__(self, form_dim: int, colour_dim: int, heads: Mapping[str, Sequence[str]]) -> None:
        super().__init__(form_dim + colour_dim, sum(map(len, heads.values())))
        read = torch.zeros_like(self.weight)  # (C, D), 1 where a head reads
        for name, rows in head_slices(heads).items():
            form, colour = reads(name)
            read[rows, :form_dim].fill_(form)
            read[rows, form_dim:].fill_(colour)
        self.register_buffer("read", read, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, C)."""
        return functional.linear(x, self.weight * self.read, self.bias)


def reads(head: str) -> tuple[bool, bool]:
    """Return whether a head reads form, and whether it reads colour."""
    kind = head.rpartition("_")[2]
    return kind != "colour", kind not in ("digit", "size", "arrangement")


def contrast(x: Tensor) -> Tensor:
    """Return how far each pixel's colour is from the image's mean colour; the farthest is 1.

    (N, 3, H, W) -> (N, 1, H, W).
    """
    squares = (x - x.mean(dim=(2, 3), keepdim=True)).square().sum(dim=1, keepdim=True)
    distances = (squares + 1e-6).sqrt()  # of nothing, the root has no slope
    return distances / functional.max_pool2d(distances, distances.shape[2:])


def _convolutions(channels: int, blocks: Sequence[tuple[int, bool]]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width, pooled in blocks:
        layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False))
        if pooled:
            # Pooling before normalization leaves a quarter of the values to normalize.
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return layers


def _fully_connected(inputs: int, width: int) -> nn.Sequential:
    """Return fc6 and fc7 of a stream."""
    layers: list[nn.Module] = []
    for size in (inputs, width):
        layers += [nn.Linear(size, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers)


class SmallVgg(SceneNetwork):
    """The network of one stream, in bundles and models that were made before there were two."""

    name = "small_vgg"

    def __init__(self, feature_dim: int, heads: Mapping[str, Sequence[str]]) -> None:
        super().__init__(feature_dim, heads)
        layers = nn.Sequential(*_convolutions(3, ONE_STREAM))
        self.convolutions = layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.fc6 = nn.Linear(ONE_STREAM[-1][0] * MAPS_SIDE**2, FC6_DIM, bias=False)
        self.fc6_norm = nn.BatchNorm1d(FC6_DIM)
        self.fc7 = nn.Linear(FC6_DIM, feature_dim, bias=False)
        self.fc7_norm = nn.BatchNorm1d(feature_dim)
        self.classifier = nn.Linear(feature_dim, sum(map(len, self.heads.values())))

    def maps(self, x: Tensor) -> Tensor:
        """Return the last convolution's maps: (N, 3, side, side) -> (N, M, side / 8, side / 8)."""
        return self.convolutions(x.contiguous(memory_format=torch.channels_last))

    def pool(self, maps: Tensor) -> Tensor:
        """fc7 after normalization and ReLU: (N, M, 8, 8) float32 -> (N, D) float32."""
        x = torch.relu(self.fc6_norm(self.fc6(maps.flatten(1))))
        return torch.relu(self.fc7_norm(self.fc7(x)))

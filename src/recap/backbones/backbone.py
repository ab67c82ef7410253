"""What every backbone offers: a classifier whose last hidden layer is the feature of an image.

Shapes: N batch, S side of the square input in pixels, D feature width, C classes of all heads together, M
channels and P places of the last maps.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recap.backbones.normalisation import normalise


class Backbone(nn.Module):
    """A classifier of square RGB images with one or several heads.

    Attributes:
        name: of the network, in its description.
        input_size: S, the side of its input.
        shorter_side: to what an image's shorter side is resized before the centre S x S is cut out.
        feature_dim: D, the width of a feature.
        interpolation: how it is resized, bilinear or bicubic.
        grid: P and M where the last maps are kept beside the feature; else zeros.
        maps_layer: the submodule whose output are the last maps with places, (N, channels, H, W).
        heads: head name -> class labels, in the order of the logits; the heads' logits are concatenated.
        mean, std: (3,) of RGB in 0..1, what ``preprocess`` normalises with.
    """

    name: str
    input_size: int
    shorter_side: int
    interpolation = "bilinear"
    feature_dim: int
    grid: tuple[int, int] = (0, 0)
    maps_layer = "convolutions"
    heads: Mapping[str, Sequence[str]]
    mean: Tensor
    std: Tensor

    @property
    def network(self) -> nn.Module:
        """The module whose weights are kept."""
        return self

    @property
    def last_maps(self) -> nn.Module:
        """The submodule ``maps_layer``."""
        return dict(self.named_children())[self.maps_layer]

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalise RGB images: (N, S, S, 3) uint8 -> (N, 3, S, S) float32."""
        return normalise(images, self)

    @property
    def row_dim(self) -> int:
        """The width of ``rows``, D + P M."""
        return self.feature_dim + self.grid[0] * self.grid[1]

    def maps(self, x: Tensor) -> Tensor:
        """Return the last maps of preprocessed images: (N, 3, S, S) float32 -> (N, M, height, width)."""
        return self.last_maps(x)

    def pool(self, maps: Tensor) -> Tensor:
        """Return the features "fc7" of maps, here the mean over places: (N, M, height, width) -> (N, D)."""
        return maps.mean(dim=(2, 3))

    def features(self, x: Tensor) -> Tensor:
        """Return the features "fc7" of preprocessed images: (N, 3, S, S) float32 -> (N, D) float32."""
        return self.pool(self.maps(x))

    def rows(self, x: Tensor) -> Tensor:
        """Return what is kept of preprocessed images: features, and with a grid the maps, place by place."""
        if not self.grid[0]:
            return self.features(x)
        maps = self.maps(x)
        places = maps.flatten(2).transpose(1, 2)  # (N, M, height, width) -> (N, P, M)
        return torch.cat([self.pool(maps), places.flatten(1)], dim=1)  # (N, D + P M)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of preprocessed images, heads side by side: (N, 3, S, S) -> (N, C) float32."""
        raise NotImplementedError


def head_slices(heads: Mapping[str, Sequence[str]]) -> dict[str, slice]:
    """Return where each head's classes lie among the concatenated logits."""
    slices: dict[str, slice] = {}
    start = 0
    for name, labels in heads.items():
        slices[name] = slice(start, start + len(labels))
        start += len(labels)
    return slices


class OneHead(nn.Module):
    """A backbone as the classifier of one of its heads; class indices count from that head's first class."""

    def __init__(self, backbone: Backbone, head: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.labels = tuple(backbone.heads[head])
        self._part = head_slices(backbone.heads)[head]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) float32 -> logits of the head (N, C of the head)."""
        return self.backbone(x)[:, self._part]

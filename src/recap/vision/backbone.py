"""What every backbone offers: a classifier whose last hidden layer is the feature of an image.

Shapes: N batch, S side of the square input in pixels, D feature width, C classes of all heads together.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """A classifier of square RGB images with one or several heads.

    Attributes:
        name: as in ``features.backbone`` of params.yaml.
        input_size: S, the side of its input.
        shorter_side: to what an image's shorter side is resized before the centre S x S is cut out.
        feature_dim: D, the width of a feature.
        heads: head name -> class labels, in the order of the logits; the heads' logits are concatenated.
        mean, std: (3,) of RGB in 0..1, what ``preprocess`` normalises with.
    """

    name: str
    input_size: int
    shorter_side: int
    feature_dim: int
    heads: Mapping[str, Sequence[str]]
    mean: Tensor
    std: Tensor

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalise RGB images: (N, S, S, 3) uint8 -> (N, 3, S, S) float32."""
        planes = images.permute(0, 3, 1, 2).to(self.mean.device, torch.float32) / 255  # (N, 3, S, S)
        return (planes - self.mean.view(1, 3, 1, 1)) / self.std.view(1, 3, 1, 1)

    def features(self, x: Tensor) -> Tensor:
        """The features "fc7" of preprocessed images: (N, 3, S, S) float32 -> (N, D) float32."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """The logits of preprocessed images, heads side by side: (N, 3, S, S) float32 -> (N, C) float32."""
        raise NotImplementedError


def head_slices(heads: Mapping[str, Sequence[str]]) -> dict[str, slice]:
    """Where each head's classes lie among the concatenated logits."""
    slices: dict[str, slice] = {}
    start = 0
    for name, labels in heads.items():
        slices[name] = slice(start, start + len(labels))
        start += len(labels)
    return slices

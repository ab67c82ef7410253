"""Between pixels and what a classifier takes: RGB in 0..1, less a mean, over a standard deviation.

Shapes: N images, S side in pixels.
"""

from typing import Protocol

import torch
from torch import Tensor


class Normalised(Protocol):
    """What says how a classifier's input is normalised; every backbone does."""

    mean: Tensor
    """(3,) of RGB in 0..1."""
    std: Tensor
    """(3,) of RGB in 0..1."""


def normalise(images: Tensor, model: Normalised) -> Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) float32, normalised, where the model is."""
    planes = images.permute(0, 3, 1, 2).to(model.mean.device, torch.float32) / 255  # (N, 3, S, S)
    return (planes - _planes(model.mean)) / _planes(model.std)


def denormalise(x: Tensor, model: Normalised) -> Tensor:
    """(N, 3, S, S), normalised -> (N, S, S, 3) uint8 on the CPU; what is outside of 0..255 is clamped."""
    planes = x.detach() * _planes(model.std) + _planes(model.mean)  # (N, 3, S, S) in 0..1
    return (planes.clamp(0, 1) * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous()


def valid_range(model: Normalised) -> tuple[Tensor, Tensor]:
    """Return the least and the largest normalised value of a channel: (1, 3, 1, 1) each."""
    return -_planes(model.mean / model.std), _planes((1 - model.mean) / model.std)


def _planes(values: Tensor) -> Tensor:
    return values.view(1, 3, 1, 1)

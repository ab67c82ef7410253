"""An encoder that needs no weights: the colours of an image on a grid of 8 by 8.

It sees colours and where they are, not things. ``features.backbone: encoders/pixels.py:build``.
"""

from typing import Any

import torch


def build() -> tuple[torch.nn.Module, dict[str, Any]]:
    """Make the network, (N, 3, 64, 64) -> (N, 192), and say what it takes."""
    grid = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())
    return grid, {"size": 64, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

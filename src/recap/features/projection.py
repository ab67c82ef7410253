"""The PCA that the stage `reduce` fitted, as decoders need it: from features to reduced features.

Shapes: N batch, D feature, K reduced feature, P places, M channels, R reduced channels.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from recap.errors import InputError, expecting

FILE = "pca.safetensors"


class Projection(nn.Module):
    """PCA as the stage `reduce` fitted it, differentiable.

    Args:
        components, mean: (K, D), (D,).
        grid: (2,), P and M of the maps behind the features; None: there are none.
        grid_components, grid_mean: (R, M), (M,), where there are maps.
    """

    components: Tensor
    mean: Tensor

    def __init__(
        self,
        components: Tensor,
        mean: Tensor,
        grid: Tensor | None = None,
        grid_components: Tensor | None = None,
        grid_mean: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("components", components.float())
        self.register_buffer("mean", mean.float())
        shape: list[int] = [0, 0] if grid is None else grid.tolist()
        self.places, self.channels = shape
        self.of_channels = None
        if self.places:
            assert grid_components is not None
            assert grid_mean is not None
            self.of_channels = Projection(grid_components, grid_mean)

    @property
    def row_dim(self) -> int:
        """The width of what it takes, D + P M."""
        return self.mean.numel() + self.places * self.channels

    @property
    def reduced_dim(self) -> int:
        """The width of what it gives, K + P R."""
        return len(self.components) + (
            self.places * len(self.of_channels.components) if self.of_channels else 0
        )

    def forward(self, rows: Tensor) -> Tensor:
        """(N, D + P M) -> (N, K + P R)."""
        if self.of_channels is None:
            return (rows - self.mean) @ self.components.T
        features, maps = rows.split((self.mean.numel(), self.places * self.channels), dim=1)
        places: Tensor = self.of_channels(maps.reshape(-1, self.channels))  # (N P, R)
        reduced = (features - self.mean) @ self.components.T
        return torch.cat([reduced, places.view(len(rows), -1)], dim=1)


def load_projection(path: Path) -> nn.Module:
    """Read pca.safetensors; where there is none, features pass as they are.

    Raises:
        InputError: the file holds something else.
    """
    if not path.is_file():
        return nn.Identity()
    with expecting(f"{path}: expected components and mean of a PCA"):
        projection = Projection(**load_file(path))
    for part in filter(None, (projection, projection.of_channels)):
        shapes = part.components.shape, part.mean.shape
        if shapes[0][1:] != shapes[1] or len(shapes[1]) != 1:
            shown = " and ".join(str(tuple(shape)) for shape in shapes)
            raise InputError(f"{path}: expected components (K, D) and mean (D,) of a PCA, received {shown}")
    return projection

"""The PCA that the stage `reduce` fitted, as decoders need it: from features to reduced features.

Shapes: N batch, D feature, K components, C concepts, Q landmarks, P places, M channels, R reduced channels.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from recap.errors import InputError, expecting

FILE = "pca.safetensors"


class Projection(nn.Module):
    """PCA as the stage `reduce` fitted it, with concepts where there are any, differentiable.

    Args:
        components, mean: (K, D), (D,).
        concept_landmarks, concept_width, concept_weights, concept_offset: (Q, D), (1,), (Q, C), (C,), as
            `recap.features.concepts` has them; None: there are no concepts.
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
        **concepts: Tensor,
    ) -> None:
        super().__init__()
        self.register_buffer("components", components.float())
        self.register_buffer("mean", mean.float())
        self.concepts = _Concepts(**concepts) if concepts else None
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
        """The width of what it gives, K + C + P R."""
        width = len(self.components)
        if self.concepts:
            width += self.concepts.offset.numel()
        if self.of_channels:
            width += self.places * len(self.of_channels.components)
        return width

    def forward(self, rows: Tensor) -> Tensor:
        """(N, D + P M) -> (N, K + C + P R)."""
        features, maps = rows.split((self.mean.numel(), self.places * self.channels), dim=1)
        parts = [(features - self.mean) @ self.components.T]
        if self.concepts:
            parts.append(self.concepts(features))
        if self.of_channels:
            places = self.of_channels(maps.reshape(-1, self.channels))  # (N P, R)
            parts.append(places.view(len(rows), -1))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


class _Concepts(nn.Module):
    """Weighted sums of a Gaussian kernel."""

    landmarks: Tensor
    width: Tensor
    weights: Tensor
    offset: Tensor

    def __init__(
        self,
        concept_landmarks: Tensor,
        concept_width: Tensor,
        concept_weights: Tensor,
        concept_offset: Tensor,
    ) -> None:
        super().__init__()
        self.register_buffer("landmarks", concept_landmarks.float())
        self.register_buffer("width", concept_width.float())
        self.register_buffer("weights", concept_weights.float())
        self.register_buffer("offset", concept_offset.float())

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C)."""
        squares = (features**2).sum(dim=1, keepdim=True) + (self.landmarks**2).sum(dim=1)  # (N, Q)
        distances = (squares - 2 * features @ self.landmarks.T).clamp(min=0)
        similarities = (-distances / self.width).exp()
        return similarities @ self.weights - self.offset


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
    if own := projection.concepts:
        count, width = own.weights.shape if own.weights.ndim == 2 else (0, 0)
        expected = [(count, projection.mean.numel()), (1,), (count, width), (width,)]
        found = [tuple(part.shape) for part in (own.landmarks, own.width, own.weights, own.offset)]
        if found != expected:
            shown = ", ".join(map(str, found))
            raise InputError(
                f"{path}: expected landmarks (Q, D), a width, weights (Q, C) and an offset (C,) of concepts, "
                f"received {shown}"
            )
    return projection

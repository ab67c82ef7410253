"""The parts of a row whose last columns are maps with places: the feature, and what is seen at each place.

Shapes: N rows, D feature, P places, M channels.
"""

from typing import Any

from numpy.typing import NDArray

from recap.core.feature_files import Grid


def feature_part(rows: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """(N, D + P M) -> (N, D)."""
    return rows[:, : rows.shape[1] - grid[0] * grid[1]]


def places_part(rows: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """(N, D + P M) -> (N P, M)."""
    return rows[:, rows.shape[1] - grid[0] * grid[1] :].reshape(-1, grid[1])

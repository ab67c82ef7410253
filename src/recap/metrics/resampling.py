"""Confidence intervals and paired tests by resampling images. N images, B resamples, S statistics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recap.progress import track

ROWS_AT_ONCE = 4_000_000
CONFIDENCE = 0.95


def bootstrap_means(
    statistics: NDArray[np.floating | np.integer], resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Compute means over images drawn with replacement (Efron 1979).

    Args:
        statistics: (N, S), one row an image.
        resamples: B, how many sets of N images to draw.
        generator: draws the images.

    Returns:
        (B, S) float64.
    """
    images = len(statistics)
    shares = np.full(images, 1 / images)
    values = np.asarray(statistics, dtype=np.float64)
    chunk = max(1, ROWS_AT_ONCE // images)
    means = [
        generator.multinomial(images, shares, size=min(chunk, resamples - first)) @ values / images
        for first in track(range(0, resamples, chunk), "resampling images")
    ]
    return np.concatenate(means)


def interval(samples: NDArray[np.float64]) -> dict[str, float]:
    """Return the middle 95 % of B resampled values: ``{"low", "high"}``."""
    low, high = np.quantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"low": float(low), "high": float(high)}


@dataclass(frozen=True)
class PairedDifference:
    """Mean of first minus second over the same images, its 95 % interval, the p-value of no difference."""

    mean: float
    low: float
    high: float
    p_value: float


def paired_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], resamples: int, generator: np.random.Generator
) -> PairedDifference:
    """Compare scores of the same images: bootstrap interval and two-sided sign-flip test (Fisher 1935).

    Args:
        first: (N,) scores of one captioner, an image each.
        second: (N,) scores of the other.
        resamples: B, of the bootstrap and of the test.
        generator: draws images and signs.
    """
    differences = (first - second)[:, None]
    bounds = interval(bootstrap_means(differences, resamples, generator))
    mean = float(differences.mean())
    chunk = max(1, ROWS_AT_ONCE // len(differences))
    as_extreme = 0
    for start in track(range(0, resamples, chunk), "paired test"):
        rows = min(chunk, resamples - start)
        signs = 1 - 2 * generator.integers(0, 2, size=(rows, len(differences)), dtype=np.int8)
        flipped = (signs @ differences)[:, 0] / len(differences)
        as_extreme += int(np.sum(np.abs(flipped) >= abs(mean) - 1e-12))
    # The observed signs are one of the possible draws, so p is never 0.
    return PairedDifference(mean, bounds["low"], bounds["high"], (as_extreme + 1) / (resamples + 1))

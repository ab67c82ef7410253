"""Numerical gradients, and the error of another gradient.

An entry of ``x`` at a time is changed in place and back: f must read the array itself, not a copy.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def rel_error(x: ArrayLike, y: ArrayLike) -> float:
    """Return the largest |x - y| / max(1e-8, |x| + |y|) over the entries of two arrays of one shape."""
    x, y = np.asarray(x), np.asarray(y)
    return float(np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y))))


def eval_numerical_gradient(
    f: Callable[[Array], Any], x: Array, verbose: bool = True, h: float = 0.00001
) -> Array:
    """Return the gradient of f(x), a number, by central differences (f(x + h) - f(x - h)) / 2h; x stays."""

    def slope(rise: Any, index: tuple[int, ...]) -> Any:
        entry = rise / (2 * h)
        if verbose:
            print(index, entry)
        return entry

    return _differences(f, x, slope, h)


def eval_numerical_gradient_array(f: Callable[[Array], Array], x: Array, df: Array, h: float = 1e-5) -> Array:
    """Return the gradient in x of sum(f(x) * df), which a backward function must return for df."""
    return _differences(f, x, lambda rise, index: np.sum(rise * df) / (2 * h), h)


def _differences(
    f: Callable[[Array], Any], x: Array, slope: Callable[[Any, tuple[int, ...]], Any], h: float
) -> Array:
    """Return ``slope(f(x + h) - f(x - h), index)`` for each entry of x."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        value = x[index]
        x[index] = value + h
        above = np.array(f(x))
        x[index] = value - h
        below = np.array(f(x))
        x[index] = value
        gradient[index] = slope(above - below, index)
    return gradient

"""Whether an image is like those that a model was trained on; a caption of any other is nonsense.

Measured is how far what a decoder reads of an image lies from the training images' mean, in their standard
deviations: over the leading columns, over more, and over all. Far is beyond the farthest validation image, or
nearer than the nearest. Shapes: N images, K reduced feature, W distances of an image.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from recap.core.artifacts import write_bytes
from recap.core.feature_files import open_features, read_blocks
from recap.errors import expecting

FILE = "familiarity.safetensors"
LEADING = (4, 64)
"""How many components the first distances look at; the last looks at all."""
SMALLEST_SCALE = 1e-3  # of the largest, for columns that training images hardly move
ROUNDING = 1e-3  # by which the same image's features may differ between batches
FEWEST_IMAGES = 20
"""Fewer validation images say nothing of what is far."""
WARNING = "unlike the images that the model was trained on; what is said of it means little"


@dataclass(frozen=True)
class Familiarity:
    """What the training and validation images of a model are like."""

    mean: NDArray[np.float64]  # (K,), of the training images
    scale: NDArray[np.float64]  # (K,), their standard deviations
    nearest: NDArray[np.float64]  # (W,), the smallest distances of validation images
    farthest: NDArray[np.float64]  # (W,), the largest

    def is_familiar(self, reduced: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which images (N,) are like the training images, by what the decoder reads of them (N, K)."""
        distances = _distances(reduced, self.mean, self.scale)  # (N, W)
        near_enough = distances <= self.farthest * (1 + ROUNDING)
        far_enough = distances >= self.nearest * (1 - ROUNDING)
        return np.asarray((near_enough & far_enough).all(axis=1))


def write_familiarity(directory: Path) -> None:
    """Measure reduced features and write familiarity.safetensors beside them, the same bytes on every run.

    With fewer than ``FEWEST_IMAGES`` validation images nothing is written.
    """
    if len(open_features(directory / "validation.h5")) < FEWEST_IMAGES:
        return
    count, width = open_features(directory / "train.h5").shape
    total, squares = np.zeros(width), np.zeros(width)  # (K,)
    for block in read_blocks(directory / "train.h5"):
        total += block.sum(axis=0, dtype=np.float64)
    mean = total / max(count, 1)
    for block in read_blocks(directory / "train.h5"):
        squares += ((block - mean) ** 2).sum(axis=0)
    scale = np.sqrt(squares / max(count, 1))
    scale = np.maximum(scale, SMALLEST_SCALE * scale.max() or 1.0)
    nearest, farthest = np.full(len(LEADING) + 1, np.inf), np.zeros(len(LEADING) + 1)  # (W,)
    for block in read_blocks(directory / "validation.h5"):
        distances = _distances(block, mean, scale)
        nearest = np.minimum(nearest, distances.min(axis=0))
        farthest = np.maximum(farthest, distances.max(axis=0))
    write_bytes(directory / FILE, save(asdict(Familiarity(mean, scale, nearest, farthest))))


def load_familiarity(path: Path) -> Familiarity | None:
    """Read familiarity.safetensors; None where there is none.

    Raises:
        InputError: the file holds something else.
    """
    if not path.is_file():
        return None
    with expecting(f"{path}: expected what training images are like"):
        return Familiarity(**load_file(path))


def _distances(
    reduced: NDArray[np.float32], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Root mean squared deviations from the mean: (N, K) -> (N, W)."""
    squares = ((reduced - mean) / scale) ** 2
    widths = (*LEADING, squares.shape[1])
    return np.stack([np.sqrt(squares[:, :width].mean(axis=1)) for width in widths], axis=1)

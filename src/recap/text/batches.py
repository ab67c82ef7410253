"""Batches of captions of like length, so that little work is spent on padding.

Shapes: M captions, L steps of a caption, N batch, I images, D feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.errors import InputError
from recap.text.vocabulary import NULL


@dataclass(frozen=True)
class CaptionedFeatures:
    """The captions of a split and the features of their images.

    ``captions`` (M, L) int32, padded with <NULL>; ``image_rows`` (M,) the row of each caption's image in
    ``features`` (I, D) float32, which may be mapped from a file.
    """

    captions: NDArray[np.int32]
    image_rows: NDArray[np.int32]
    features: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not len(self.captions):
            raise InputError("captions: expected at least one, received none")
        last = int(self.image_rows.max())
        if last >= len(self.features):
            raise InputError(f"features: expected a row for image {last}, received {len(self.features)} rows")

    def lengths(self) -> NDArray[np.int64]:
        """Return (M,) the steps of each caption that are not <NULL>."""
        return (self.captions != NULL).sum(axis=1)

    def words(self, rows: NDArray[np.int64]) -> int:
        """Count the targets of the captions ``rows`` (N,): their steps but the first."""
        return int((self.captions[rows, 1:] != NULL).sum())

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return features (N, D) float32 and captions (N, longest) int64 of the captions ``rows`` (N,)."""
        captions = self.captions[rows]
        longest = int((captions != NULL).sum(axis=1).max())
        features = np.asarray(self.features[self.image_rows[rows]])
        return torch.from_numpy(features), torch.from_numpy(captions[:, :longest].astype(np.int64))


def shuffled_batches(
    lengths: NDArray[np.int64], batch_size: int, generator: np.random.Generator
) -> Sequence[NDArray[np.int64]]:
    """Return an epoch: batches of every caption once, of like length, in random order, as arrays of rows.

    A random permutation, sorted by length without disturbing captions of the same length, cut into batches,
    which are shuffled.
    """
    permutation = generator.permutation(len(lengths))
    batches = _cut(permutation[np.argsort(lengths[permutation], kind="stable")], batch_size)
    return [batches[place] for place in generator.permutation(len(batches))]


def sorted_batches(lengths: NDArray[np.int64], batch_size: int) -> Sequence[NDArray[np.int64]]:
    """Return batches of every caption once, shortest first, in a fixed order: for losses and scores."""
    return _cut(np.argsort(lengths, kind="stable"), batch_size)


def _cut(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]

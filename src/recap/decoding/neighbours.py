"""Captions of the training images that are similar to an image, with weights.

Shapes: I training images, K neighbours, N batch, D feature.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import NULL

KERNEL_WIDTH = 0.3  # the difference of cosines over which the kernel falls to 1/e
RIDGE = 0.5

Tokens = Sequence[int]
WeightedCaptions = tuple[list[Tokens], list[float]]
"""Captions and the weight of each."""


class Neighbours:
    """Weighs the captions of the training images whose features have the largest cosines with an image's.

    The weighted sum, over the neighbours, of any score against an image's captions is the kernel ridge
    regression of that score on features (Saunders, Gammerman and Vovk 1998), trained on the neighbours: an
    image whose captions repeat those of another neighbour weighs less, and may weigh below 0.

    Args:
        captions: of rows of the features, as ``captions_of_images`` gives them.
        features: (rows, D) float32 of the training images, as decoders read them.
        count: neighbours an image; the cost of the weights is its cube.
    """

    def __init__(self, captions: Mapping[int, Sequence[Tokens]], features: NDArray[Any], count: int) -> None:
        rows = sorted(captions)  # images that have captions
        self._captions = [captions[row] for row in rows]
        self._directions = functional.normalize(torch.from_numpy(features[rows]))  # (I, D)
        self._count = min(count, len(rows))

    def __call__(self, features: Tensor) -> list[WeightedCaptions]:
        """Return the captions of the neighbours of each image, features (N, D), the nearest one's first."""
        directions = functional.normalize(features)
        known = self._directions.to(features)
        nearest = (directions @ known.T).topk(self._count).indices  # (N, K)
        return [
            self._weighted(own.tolist(), _weights(known[own], direction))
            for own, direction in zip(nearest, directions, strict=True)
        ]

    def _weighted(self, places: list[int], weights: list[float]) -> WeightedCaptions:
        captions: list[Tokens] = []
        caption_weights: list[float] = []
        for place, weight in zip(places, weights, strict=True):
            own = self._captions[place]
            captions += own
            caption_weights += [weight / len(own)] * len(own)
        return captions, caption_weights


def _weights(neighbours: Tensor, direction: Tensor) -> list[float]:
    """Return the weights of neighbours (K, D) for an image (D,), all of length 1."""
    kernel = ((neighbours @ neighbours.T - 1) / KERNEL_WIDTH).exp()
    kernel.diagonal().add_(RIDGE)
    similarities = ((neighbours @ direction - 1) / KERNEL_WIDTH).exp()
    # NumPy's LAPACK gives the same bits on every processor, torch's does not
    return np.linalg.solve(kernel.cpu().numpy(), similarities.cpu().numpy()).tolist()


def captions_of_images(training: CaptionedFeatures) -> dict[int, list[Tokens]]:
    """Return for each row of features the words of its captions: without <START>, with <END>."""
    captions: dict[int, list[Tokens]] = {}
    for row, caption in zip(training.image_rows.tolist(), training.captions.tolist(), strict=True):
        captions.setdefault(row, []).append([token for token in caption[1:] if token != NULL])
    return captions

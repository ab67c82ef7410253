"""What people said of the training images that are most like an image.

Shapes: I training images, N batch, D feature.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from recap.data.batches import CaptionedFeatures
from recap.data.vocabulary import NULL

Tokens = Sequence[int]


class Neighbours:
    """Finds the captions of the training images whose features have the largest cosines with an image's.

    Args:
        training: captions and features of the training images, as decoders read them.
        count: images to find.
    """

    def __init__(self, training: CaptionedFeatures, count: int) -> None:
        self._captions = captions_of_images(training)
        rows = torch.tensor(sorted(self._captions))  # images without a caption have nothing to say
        self._rows: list[int] = rows.tolist()
        self._directions = functional.normalize(torch.from_numpy(training.features[rows.numpy()]))  # (I, D)
        self._count = min(count, len(rows))

    def __call__(self, features: Tensor) -> list[list[Tokens]]:
        """The captions of the neighbours of each image, features (N, D), the nearest one's first."""
        cosines = functional.normalize(features) @ self._directions.to(features).T  # (N, I)
        nearest = cosines.topk(self._count).indices.tolist()
        return [[words for place in own for words in self._captions[self._rows[place]]] for own in nearest]


def captions_of_images(training: CaptionedFeatures) -> dict[int, list[Tokens]]:
    """For each row of features the words of its captions: without <START>, with <END>."""
    captions: dict[int, list[Tokens]] = {}
    for row, caption in zip(training.image_rows.tolist(), training.captions.tolist(), strict=True):
        captions.setdefault(row, []).append([token for token in caption[1:] if token != NULL])
    return captions

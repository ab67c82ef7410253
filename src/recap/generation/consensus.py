"""Consensus decoding: of many sampled captions of an image, the one that agrees most with the others.

It maximises the expected CIDEr-D under the decoder (minimum Bayes risk, Kumar and Byrne 2004), where a beam
maximises the probability.

Shapes: N batch, D feature, K candidates an image, M captions, L steps of a caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from recap.data.vocabulary import NULL
from recap.evaluation.cider_d import CiderD, InverseFrequency
from recap.generation.caption import Constraints
from recap.generation.sampling import sample
from recap.generation.search import StepDecoder, Words


@dataclass(frozen=True)
class Consensus:
    """A search: draws candidates and ranks them by their mean CIDEr-D against all candidates of the image.

    Attributes:
        rarity: weights of n-grams of words' numbers, <END> the last word, as ``rarity_of`` gives them.
        candidates: K.
        temperature: of the draws.
        seed: of the draws.
    """

    rarity: InverseFrequency
    candidates: int = 40
    temperature: float = 0.6
    seed: int = 0

    def __call__(
        self, decoder: StepDecoder, features: Tensor, constraints: Constraints, image_ids: Sequence[int]
    ) -> list[list[Words]]:
        """The candidates of each image, best first; of equals, the one drawn first.

        Args:
            decoder: in eval mode.
            features: (N, D).
            constraints: what a caption may be.
            image_ids: N; draws depend on them.
        """
        numbers = [image * self.candidates + draw for image in image_ids for draw in range(self.candidates)]
        drawn = sample(
            decoder,
            features.repeat_interleave(self.candidates, dim=0),  # (N K, D)
            constraints,
            numbers,
            seed=self.seed,
            temperature=self.temperature,
        )
        captions = [words for (words,) in drawn]
        return [
            self._ranked(captions[first : first + self.candidates])
            for first in range(0, len(captions), self.candidates)
        ]

    def _ranked(self, captions: list[Words]) -> list[Words]:
        score = CiderD([words.tokens for words in captions], self.rarity)
        known: dict[tuple[int, ...], float] = {}  # the same caption is often drawn again
        for words in captions:
            key = tuple(words.tokens)
            if key not in known:
                known[key] = score(key)
        return sorted(captions, key=lambda words: -known[tuple(words.tokens)])


def rarity_of(captions: NDArray[np.int32], image_rows: NDArray[np.int32]) -> InverseFrequency:
    """Weights of n-grams from encoded captions (M, L) of images ``image_rows`` (M,)."""
    references: dict[int, list[list[int]]] = {}
    for row, caption in zip(image_rows.tolist(), captions.tolist(), strict=True):
        words = [token for token in caption[1:] if token != NULL]  # <START> is left out, <END> stays
        references.setdefault(row, []).append(words)
    return InverseFrequency(list(references.values()))

"""CIDEr-D of one caption after the other: a reward to learn from, and a measure of agreement.

Formulas: Vedantam et al. 2015, as COCO's official code has them: n-grams of 1 to 4 words, counts clipped to
the reference's, weights tf-idf, a Gaussian penalty (sigma 6) on the difference in the number of bigrams.
Words are anything hashable: text, or numbers of a vocabulary.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDERS = 4
SIGMA = 6.0
SCALE = 10.0 / ORDERS

Words = Sequence[Hashable]
Ngram = tuple[Any, ...]


class InverseFrequency:
    """How rare an n-gram is: log of images over images that have it in a reference.

    Args:
        references: for each image one or more captions, each its words. Without any, all n-grams weigh 1.
    """

    def __init__(self, references: Sequence[Sequence[Words]] = ()) -> None:
        frequency: Counter[Ngram] = Counter()
        for own in references:
            frequency.update(dict.fromkeys((ngram for words in own for ngram in _ngrams(words)), 1))
        self._unseen = math.log(len(references)) if references else 1.0
        self._known = {ngram: self._unseen - math.log(count) for ngram, count in frequency.items()}

    def __getitem__(self, ngram: Ngram) -> float:
        return self._known.get(ngram, self._unseen)

    def norms(self, counts: Counter[Ngram]) -> list[float]:
        """The lengths of the tf-idf vectors of a caption's n-grams, one for each order."""
        squares = [0.0] * ORDERS
        for ngram, count in counts.items():
            squares[len(ngram) - 1] += (count * self[ngram]) ** 2
        return [math.sqrt(square) for square in squares]


class CiderD:
    """The score of captions against the references of one image.

    Args:
        references: one or more captions, each its words. When the last word of all of them marks the end, so
            must that of a finished caption: one that is cut off then misses the n-grams of the end, which
            would otherwise reward captions without one.
        rarity: weights of n-grams.
    """

    def __init__(self, references: Sequence[Words], rarity: InverseFrequency) -> None:
        self._rarity = rarity
        holders: dict[Ngram, tuple[list[int], list[int]]] = {}
        norms = []
        for number, words in enumerate(references):
            counts = Counter(_ngrams(words))
            norms.append(rarity.norms(counts))
            for ngram, count in counts.items():
                places, times = holders.setdefault(ngram, ([], []))
                places.append(number * ORDERS + len(ngram) - 1)
                times.append(count)
        # of each n-gram: in which reference and order it is, as a place in the norms, and how often
        self._holders = {
            ngram: (np.array(places), np.array(times)) for ngram, (places, times) in holders.items()
        }
        self._norms = _without_zeros(norms)  # (references, ORDERS)
        self._bigrams = np.array([max(len(words) - 1, 0) for words in references])

    def __call__(self, words: Words) -> float:
        """The CIDEr-D, 0 to 10, of a caption."""
        counts = Counter(_ngrams(words))
        common = [(ngram, self._holders[ngram]) for ngram in counts if ngram in self._holders]
        if not common:
            return 0.0
        places = np.concatenate([own for _, (own, _) in common])
        products = np.concatenate(
            [
                np.minimum(counts[ngram], times) * times * self._rarity[ngram] ** 2
                for ngram, (_, times) in common
            ]
        )
        similarity = np.bincount(places, products, self._norms.size).reshape(self._norms.shape)
        cosines = similarity / self._norms / _without_zeros([self._rarity.norms(counts)])
        difference = max(len(words) - 1, 0) - self._bigrams
        penalty = np.exp(-(difference**2) / (2 * SIGMA**2))
        return float((cosines.sum(axis=1) * penalty).mean()) * SCALE


def _without_zeros(norms: list[list[float]]) -> NDArray[np.float64]:
    """Norms (captions, ORDERS); a vector of length 0, which has no cosine, gets an endless one instead."""
    array = np.array(norms)
    return np.where(array == 0, np.inf, array)


def _ngrams(words: Words) -> Iterator[Ngram]:
    words = tuple(words)
    for size in range(1, ORDERS + 1):
        for first in range(len(words) - size + 1):
            yield words[first : first + size]

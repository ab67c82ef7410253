"""CIDEr-D of one caption after the other: a reward to learn from, and a measure of agreement.

Formulas: Vedantam et al. 2015, as COCO's official code has them: n-grams of 1 to 4 words, counts clipped to
the reference's, weights tf-idf, a Gaussian penalty (sigma 6) on the difference in the number of bigrams.
Words are anything hashable: text, or numbers of a vocabulary.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDERS = 4
SIGMA = 6.0
SCALE = 10.0 / ORDERS

Words = Sequence[Hashable]
Ngram = tuple[Any, ...]


class InverseFrequency:
    """The idf of n-grams: log of images over images that have one in a reference.

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
        """Return the lengths of the tf-idf vectors of a caption's n-grams, one for each order."""
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
        idf: weights of n-grams.
        weights: of the references, to add up their scores with; without them all weigh the same.
    """

    def __init__(
        self,
        references: Sequence[Words],
        idf: InverseFrequency,
        weights: Sequence[float] | None = None,
    ) -> None:
        self._idf = idf
        self._weights = None if weights is None else np.array(weights)
        holders: dict[Ngram, tuple[list[int], list[int]]] = {}
        norms = []
        for number, words in enumerate(references):
            counts = Counter(_ngrams(words))
            norms.append(idf.norms(counts))
            for ngram, count in counts.items():
                places, times = holders.setdefault(ngram, ([], []))
                places.append(number * ORDERS + len(ngram) - 1)
                times.append(count)
        # n-grams are parts of two arrays: in which reference and order, as a place in the norms; how often
        self._parts: dict[Ngram, slice] = {}
        end = 0
        for ngram, (places, _) in holders.items():
            self._parts[ngram] = slice(end, end + len(places))
            end += len(places)
        self._places = np.fromiter(chain.from_iterable(own for own, _ in holders.values()), np.int32, end)
        self._times = np.fromiter(chain.from_iterable(own for _, own in holders.values()), np.int32, end)
        self._norms = _without_zeros(norms)  # (references, ORDERS)
        self._bigrams = np.array([max(len(words) - 1, 0) for words in references])

    def __call__(self, words: Words) -> float:
        """Return the CIDEr-D of a caption, 0 to 10 where no weights are given."""
        counts = Counter(_ngrams(words))
        common = [(ngram, self._parts[ngram]) for ngram in counts if ngram in self._parts]
        if not common:
            return 0.0
        sizes = [part.stop - part.start for _, part in common]
        places = np.concatenate([self._places[part] for _, part in common])
        times = np.concatenate([self._times[part] for _, part in common])
        said = np.repeat([counts[ngram] for ngram, _ in common], sizes)
        weights = np.repeat([self._idf[ngram] ** 2 for ngram, _ in common], sizes)
        products = np.minimum(said, times) * times * weights
        similarity = np.bincount(places, products, self._norms.size).reshape(self._norms.shape)
        cosines = similarity / self._norms / _without_zeros([self._idf.norms(counts)])
        difference = max(len(words) - 1, 0) - self._bigrams
        penalty = np.exp(-(difference**2) / (2 * SIGMA**2))
        scores = cosines.sum(axis=1) * penalty
        return float(scores.mean() if self._weights is None else scores @ self._weights) * SCALE


def _without_zeros(norms: list[list[float]]) -> NDArray[np.float64]:
    """Return norms (captions, ORDERS), infinite for a vector of length 0, which has no cosine."""
    array = np.array(norms)
    return np.where(array == 0, np.inf, array)


def _ngrams(words: Words) -> Iterator[Ngram]:
    words = tuple(words)
    for size in range(1, ORDERS + 1):
        for first in range(len(words) - size + 1):
            yield words[first : first + size]

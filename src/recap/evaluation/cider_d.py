"""CIDEr-D of one caption after the other: a reward to learn from, and a measure of agreement.

Formulas: Vedantam et al. 2015, as COCO's official code has them: n-grams of 1 to 4 words, counts clipped to
the reference's, weights tf-idf, a Gaussian penalty (sigma 6) on the difference in the number of bigrams.
Words are anything hashable: text, or numbers of a vocabulary.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class _Reference:
    norms: list[float]
    bigrams: int


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
        self._holders: dict[Ngram, list[tuple[int, int]]] = {}  # of each n-gram: who has it, how often
        self._references = []
        for number, words in enumerate(references):
            counts = Counter(_ngrams(words))
            self._references.append(_Reference(rarity.norms(counts), max(len(words) - 1, 0)))
            for ngram, count in counts.items():
                self._holders.setdefault(ngram, []).append((number, count))

    def __call__(self, words: Words) -> float:
        """The CIDEr-D, 0 to 10, of a caption."""
        counts = Counter(_ngrams(words))
        norms = self._rarity.norms(counts)
        similarity = [[0.0] * ORDERS for _ in self._references]
        for ngram, count in counts.items():
            holders = self._holders.get(ngram, ())
            weight = self._rarity[ngram] ** 2 if holders else 0.0
            for number, times in holders:
                similarity[number][len(ngram) - 1] += min(count, times) * times * weight
        total = 0.0
        for values, reference in zip(similarity, self._references, strict=True):
            cosines = (
                value / (norm * theirs)
                for value, norm, theirs in zip(values, norms, reference.norms, strict=True)
                if norm and theirs
            )
            difference = max(len(words) - 1, 0) - reference.bigrams
            total += sum(cosines) * math.exp(-(difference**2) / (2 * SIGMA**2))
        return total / len(self._references) * SCALE


def _ngrams(words: Words) -> Iterator[Ngram]:
    words = tuple(words)
    for size in range(1, ORDERS + 1):
        for first in range(len(words) - size + 1):
            yield words[first : first + size]

"""The reward of self-critical training: CIDEr-D of a caption against those that people wrote.

Formulas: Vedantam et al. 2015, as COCO's official code has them: n-grams of 1 to 4 words, counts clipped to
the reference's, weights tf-idf, a Gaussian penalty (sigma 6) on the difference in the number of bigrams.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ORDERS = 4
SIGMA = 6.0
SCALE = 10.0 / ORDERS

Words = Sequence[str]
Ngram = tuple[str, ...]


@dataclass(frozen=True)
class _Image:
    """The references of an image: for each n-gram who has it how often; norms of each order; bigrams."""

    holders: dict[Ngram, list[tuple[int, int]]]
    norms: list[list[float]]
    bigrams: list[int]


class ConsensusReward:
    """CIDEr-D against the references of each image; document frequencies are those of all these references.

    Args:
        references: for each image one or more captions, each its words. When the last word of all of them
            marks the end, so must that of a finished caption: a caption that is cut off then misses the
            n-grams of the end, which would otherwise reward captions without one.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        frequency: Counter[Ngram] = Counter()
        for own in references:
            frequency.update(dict.fromkeys((ngram for words in own for ngram in _ngrams(words)), 1))
        self._unseen = math.log(len(references))
        self._idf = {ngram: self._unseen - math.log(count) for ngram, count in frequency.items()}
        self._images = [self._describe(own) for own in references]

    def __call__(self, image: int, words: Words) -> float:
        """The CIDEr-D, 0 to 10, of a caption of the image with this number."""
        own = self._images[image]
        counts = Counter(_ngrams(words))
        norms = self._norms(counts)
        similarity = [[0.0] * ORDERS for _ in own.norms]
        for ngram, count in counts.items():
            for reference, times in own.holders.get(ngram, ()):
                weight = self._idf[ngram] ** 2
                similarity[reference][len(ngram) - 1] += min(count, times) * times * weight
        total = 0.0
        for values, their_norms, bigrams in zip(similarity, own.norms, own.bigrams, strict=True):
            cosines = (
                value / (norm * theirs)
                for value, norm, theirs in zip(values, norms, their_norms, strict=True)
                if norm and theirs
            )
            total += sum(cosines) * math.exp(-((max(len(words) - 1, 0) - bigrams) ** 2) / (2 * SIGMA**2))
        return total / len(own.norms) * SCALE

    def _describe(self, references: Sequence[Words]) -> _Image:
        holders: dict[Ngram, list[tuple[int, int]]] = {}
        norms = []
        for number, words in enumerate(references):
            counts = Counter(_ngrams(words))
            norms.append(self._norms(counts))
            for ngram, count in counts.items():
                holders.setdefault(ngram, []).append((number, count))
        return _Image(holders, norms, [max(len(words) - 1, 0) for words in references])

    def _norms(self, counts: Counter[Ngram]) -> list[float]:
        squares = [0.0] * ORDERS
        for ngram, count in counts.items():
            squares[len(ngram) - 1] += (count * self._idf.get(ngram, self._unseen)) ** 2
        return [math.sqrt(square) for square in squares]


def _ngrams(words: Words) -> Iterator[Ngram]:
    words = tuple(words)
    for size in range(1, ORDERS + 1):
        for first in range(len(words) - size + 1):
            yield words[first : first + size]

"""BLEU, ROUGE-L and CIDEr-D as COCO's official code gives them, without Java.

N images, R references of an image. Captions are tokenized text: words with one space between them.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.bleu.bleu_scorer import BleuScorer, cook_refs, cook_test

from recap.errors import InputError
from recap.progress import track

BLEU_ORDERS = 4
CIDER_ORDERS = 4
CIDER_SIGMA = 6.0
ROUGE_BETA = 1.2


@dataclass(frozen=True)
class Scores:
    """The scores of one set of captions.

    Attributes:
        bleu: (4,) float64, BLEU-1 to BLEU-4 of the whole set.
        bleu_statistics: (N, 10) int64: words of the caption, words of the reference closest in length,
            n-grams of the caption for n = 1..4, and how many of them are in a reference.
        rouge_l: (N,) float64.
        cider_d: (N,) float64; the official package and COCO's tables call it CIDEr.
    """

    bleu: NDArray[np.float64]
    bleu_statistics: NDArray[np.int64]
    rouge_l: NDArray[np.float64]
    cider_d: NDArray[np.float64]

    def metrics(self) -> dict[str, float]:
        """The scores of the set: bleu_1 to bleu_4, and the means of rouge_l and cider_d."""
        bleu = {f"bleu_{order}": float(score) for order, score in enumerate(self.bleu, start=1)}
        return bleu | {"rouge_l": float(self.rouge_l.mean()), "cider_d": float(self.cider_d.mean())}


def score_captions(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """Score one caption an image, to the bit as pycocoevalcap's scorers do, but image by image.

    The idf of CIDEr-D comes from the references given; with one image every idf, so every score, is 0.

    Args:
        captions: N tokenized captions; an empty one scores 0.
        references: N lists of R >= 1 tokenized captions of people.

    Raises:
        InputError: no reference has a word.
    """
    if not any(caption for own in references for caption in own):
        raise InputError("references: expected captions with words, received nothing but punctuation")
    pairs = list(zip(captions, references, strict=True))
    bleu = BleuScorer(n=BLEU_ORDERS)
    for caption, own in track(pairs, "BLEU"):
        # what the references are cooked to is dropped: it is many times as large as they are
        bleu.ctest.append(cook_test(caption, cook_refs(own)))
    statistics = [
        [image["testlen"], min((abs(length - image["testlen"]), length) for length in image["reflen"])[1]]
        + image["guess"]
        + image["correct"]
        for image in bleu.ctest
    ]
    return Scores(
        bleu=np.array(bleu.compute_score(option="closest")[0]),
        bleu_statistics=np.array(statistics, dtype=np.int64),
        rouge_l=np.array([rouge_l(caption, own) for caption, own in track(pairs, "ROUGE-L")]),
        cider_d=official_cider_d(pairs),
    )


def rouge_l(caption: str, references: Sequence[str]) -> float:
    """ROUGE-L of a caption, to the bit as ``pycocoevalcap.rouge`` has it."""
    words = caption.split(" ")
    precision = recall = 0.0
    for reference in references:
        others = reference.split(" ")
        common = _longest_common_subsequence(words, others)
        precision = max(precision, common / len(words))
        recall = max(recall, common / len(others))
    if precision == 0 or recall == 0:
        return 0.0
    return ((1 + ROUGE_BETA**2) * precision * recall) / (recall + ROUGE_BETA**2 * precision)


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Its length, with a row of the table in the bits of a number (Hyyrö 2004)."""
    if len(first) > len(second):
        first, second = second, first
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    whole = (1 << len(first)) - 1
    row = whole
    for word in second:
        matches = row & places.get(word, 0)
        if matches:
            row = ((row + matches) | (row - matches)) & whole
    return len(first) - row.bit_count()


def official_cider_d(pairs: Sequence[tuple[str, Sequence[str]]]) -> NDArray[np.float64]:
    """CIDEr-D (N,) of captions with their references, to the bit as ``pycocoevalcap.cider`` has it.

    The n-grams of one image at a time are in memory, beside how many images each occurs in.
    """
    frequency: Counter[tuple[str, ...]] = Counter()
    for _, own in track(pairs, "CIDEr-D, n-grams of the references"):
        frequency.update({ngram for reference in own for ngram in _count(reference)})
    whole = np.log(float(len(pairs)))
    rarity: dict[int, float] = {}  # by the number of images; NumPy's logarithm is the official one

    def weigh(text: str) -> tuple[dict[tuple[str, ...], float], list[float], int]:
        """Weights tf-idf of the n-grams, their norm for each order, and the number of bigrams."""
        weights: dict[tuple[str, ...], float] = {}
        squares = [0.0] * CIDER_ORDERS
        bigrams = 0
        for ngram, count in _count(text).items():
            images = frequency.get(ngram, 0)
            if images not in rarity:
                rarity[images] = float(whole - np.log(max(1.0, images)))
            weights[ngram] = weight = count * rarity[images]
            squares[len(ngram) - 1] += weight**2
            bigrams += count if len(ngram) == 2 else 0
        return weights, [math.sqrt(square) for square in squares], bigrams

    scores = []
    for caption, own in track(pairs, "CIDEr-D"):
        weights, norms, bigrams = weigh(caption)
        total = np.zeros(CIDER_ORDERS)
        for reference in own:
            others, other_norms, other_bigrams = weigh(reference)
            cosines = [0.0] * CIDER_ORDERS
            for ngram, weight in weights.items():
                other = others.get(ngram, 0.0)
                cosines[len(ngram) - 1] += min(weight, other) * other
            penalty = math.e ** (-(float(bigrams - other_bigrams) ** 2) / (2 * CIDER_SIGMA**2))
            for order, (norm, other_norm) in enumerate(zip(norms, other_norms, strict=True)):
                if norm != 0 and other_norm != 0:
                    cosines[order] /= norm * other_norm
                cosines[order] *= penalty
            total += cosines
        scores.append(np.mean(total) / len(own) * 10.0)
    return np.array(scores)


def _count(text: str) -> dict[tuple[str, ...], int]:
    """The n-grams of a tokenized caption with how often they occur, in the order of their first place."""
    words = text.split()
    counts: dict[tuple[str, ...], int] = {}
    for size in range(1, CIDER_ORDERS + 1):
        for ngram in zip(*(words[first:] for first in range(size)), strict=False):
            counts[ngram] = counts.get(ngram, 0) + 1
    return counts


def bleu_of(statistics: NDArray[np.integer | np.floating]) -> NDArray[np.float64]:
    """BLEU-1..4 from summed statistics (Papineni et al. 2002, with COCO's guards against division by zero).

    Args:
        statistics: (..., 10), sums of rows of ``Scores.bleu_statistics``.

    Returns:
        (..., 4) float64.
    """
    sums = np.asarray(statistics, dtype=np.float64)
    ratio = (sums[..., 0] + 1e-15) / (sums[..., 1] + 1e-9)
    penalty = np.exp(np.minimum(0.0, 1 - 1 / ratio))
    precisions = (sums[..., 6:] + 1e-15) / (sums[..., 2:6] + 1e-9)
    orders = np.arange(1, BLEU_ORDERS + 1)
    return penalty[..., None] * np.cumprod(precisions, axis=-1) ** (1 / orders)

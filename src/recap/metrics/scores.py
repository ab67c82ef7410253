"""BLEU, ROUGE-L and CIDEr-D as COCO's official code gives them, without Java.

N images, R references of an image. Captions are tokenized text: words with one space between them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.bleu.bleu_scorer import BleuScorer

from recap.errors import InputError
from recap.metrics.cider_d import SIGMA
from recap.metrics.ngrams import ORDERS, Ngrams, count_words, factorize, number_ngrams
from recap.progress import track

BLEU_ORDERS = len(ORDERS)
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
        """Return the scores of the set: bleu_1 to bleu_4, and the means of rouge_l and cider_d."""
        bleu = {f"bleu_{order}": float(score) for order, score in enumerate(self.bleu, start=1)}
        return bleu | {"rouge_l": float(self.rouge_l.mean()), "cider_d": float(self.cider_d.mean())}


def score_captions(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    documents: Sequence[Sequence[str]] | None = None,
) -> Scores:
    """Score one caption an image, to the bit as pycocoevalcap's scorers do, but image by image.

    With one image in what the idf comes from, every idf, so every CIDEr-D, is 0.

    Args:
        captions: N tokenized captions; an empty one scores 0.
        references: N lists of R >= 1 tokenized captions of people.
        documents: tokenized captions of each image of a corpus, which CIDEr-D's idf then comes from; by
            default the references.

    Raises:
        InputError: no reference has a word.
    """
    if not any(caption for own in references for caption in own):
        raise InputError("references: expected captions with words, received nothing but punctuation")
    pairs = list(zip(captions, references, strict=True))
    bleu_statistics, cider_d = _count_ngrams(captions, references, documents)
    return Scores(
        bleu=_official_bleu(bleu_statistics),
        bleu_statistics=bleu_statistics,
        rouge_l=np.array([rouge_l(caption, own) for caption, own in track(pairs, "ROUGE-L")]),
        cider_d=cider_d,
    )


def _official_bleu(statistics: NDArray[np.int64]) -> NDArray[np.float64]:
    """BLEU-1 to BLEU-4 (4,) of a whole set, for which the official scorer adds up what it knows of images."""
    sums = statistics.sum(axis=0).tolist()
    scorer = BleuScorer(n=BLEU_ORDERS)
    scorer.ctest = [{"testlen": sums[0], "reflen": [sums[1]], "guess": sums[2:6], "correct": sums[6:]}]
    return np.array(scorer.compute_score(option="closest")[0])


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
    """Compute its length, with a row of the table in the bits of a number (Hyyrö 2004)."""
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


def _count_ngrams(
    captions: Sequence[str], references: Sequence[Sequence[str]], documents: Sequence[Sequence[str]] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return BLEU's statistics (N, 10), and CIDEr-D (N,) to the bit as ``pycocoevalcap.cider`` has it.

    That is why each sum runs over n-grams in the order of their first places in a caption, which
    ``np.bincount`` keeps, and why powers and logarithms are taken one by one: those of arrays may round
    otherwise.
    """
    images, sizes = len(captions), np.array([len(own) for own in references])
    image_of = np.concatenate([np.arange(images), np.repeat(np.arange(images), sizes)])  # by text
    texts = [*captions, *(reference for own in references for reference in own)]
    lengths = count_words(texts)
    corpus = references if documents is None else documents
    document_of = np.repeat(np.arange(len(corpus)), [len(own) for own in corpus])
    before = images if documents is None else len(texts)  # texts that are in no document
    document_of = np.concatenate([np.full(before, -1), document_of])
    further = [] if documents is None else [text for own in documents for text in own]
    own_length = lengths[image_of[images:]]
    distances = np.abs(lengths[images:] - own_length)
    order = np.lexsort((lengths[images:], distances, image_of[images:]))
    closest = lengths[images:][order[np.cumsum(sizes) - sizes]]
    guesses = [np.maximum(lengths[:images] - size + 1, 0) for size in ORDERS]
    bigrams = np.maximum(lengths - 1, 0)
    penalty = _one_by_one(
        lambda difference: math.e ** (-(float(difference) ** 2) / (2 * SIGMA**2)),
        bigrams[image_of[images:]] - bigrams[images:],
    )

    def of_order(ngrams: Ngrams) -> tuple[NDArray[Any], NDArray[Any]]:
        found = _Entries.of(ngrams, image_of, images, document_of, len(corpus))
        left, right = found.common()
        most = np.zeros(len(found.texts), np.int64)  # of a caption's n-gram in one reference
        np.maximum.at(most, left, found.counts[right])
        correct = np.bincount(image_of[found.texts], np.minimum(most, found.counts), minlength=images)
        weights = found.weights()
        squares = _one_by_one(lambda weight: weight**2, weights)
        norms = np.sqrt(np.bincount(found.texts, squares, minlength=len(texts)))
        products = np.minimum(weights[left], weights[right]) * weights[right]
        cosines = np.bincount(found.texts[right] - images, products, minlength=len(texts) - images)
        scale = norms[:images][image_of[images:]] * norms[images:]
        cosines = np.divide(cosines, scale, out=np.zeros(len(scale)), where=scale != 0)
        return correct, np.bincount(image_of[images:], cosines * penalty, minlength=images)

    orders = track(number_ngrams([*texts, *further]), "n-grams for BLEU and CIDEr-D", len(ORDERS))
    correct, totals = zip(*map(of_order, orders), strict=True)
    statistics = np.column_stack([lengths[:images], closest, *guesses, *correct]).astype(np.int64)
    return statistics, np.column_stack(totals).mean(axis=1) / sizes * 10.0


@dataclass(frozen=True)
class _Entries:
    """The different n-grams of one order of each text, E of them, in the order of their first places.

    Attributes:
        texts: (E,), the text; captions come first, one an image.
        numbers: (E,), the n-gram.
        counts: (E,), how often the text has it.
        keys: (E,), image and n-gram in one number.
        captions: how many of the entries are of captions, the first ones.
        idf: inverse document frequency of each n-gram.
    """

    texts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    counts: NDArray[np.int64]
    keys: NDArray[np.int64]
    captions: int
    idf: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        ngrams: Ngrams,
        image_of: NDArray[np.int64],
        images: int,
        document_of: NDArray[np.int64],
        documents: int,
    ) -> "_Entries":
        """From all n-grams: image_of is by text that is scored, document_of by text, -1 where in none."""
        different = max(ngrams.different, 1)
        scored = ngrams.texts < len(image_of)
        codes, pairs = factorize(ngrams.texts[scored] * different + ngrams.numbers[scored])
        texts, numbers = np.divmod(pairs, different)
        keys = image_of[texts] * different + numbers
        captions = int(np.searchsorted(texts, images))
        document = document_of[ngrams.texts]
        inside = document >= 0
        in_documents = np.unique(document[inside] * different + ngrams.numbers[inside]) % different
        whole = np.log(float(documents))
        idf = _one_by_one(
            lambda number: float(whole - np.log(max(1.0, number))),
            np.bincount(in_documents, minlength=ngrams.different),
        )
        return cls(texts, numbers, np.bincount(codes, minlength=len(pairs)), keys, captions, idf)

    def common(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what captions and references of an image share: the caption's entry, the reference's.

        They are in the order of the references, and for each in that of the caption.
        """
        order = np.argsort(self.keys[: self.captions], kind="stable")
        own = np.append(self.keys[: self.captions][order], -1)  # no key, for what would stand at the end
        others = self.keys[self.captions :]
        place = np.searchsorted(own[:-1], others)
        right = np.flatnonzero(own[place] == others)
        left = order[place[right]]
        right += self.captions
        order = np.lexsort((left, self.texts[right]))
        return left[order], right[order]

    def weights(self) -> NDArray[np.float64]:
        """Return the weights tf-idf (E,)."""
        return self.counts * self.idf[self.numbers]


def _one_by_one(function: Callable[[Any], float], values: NDArray[Any]) -> NDArray[np.float64]:
    """Apply a function to each value, once for each different one."""
    codes, different = factorize(values)
    return np.array([function(value) for value in different.tolist()], np.float64)[codes]


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

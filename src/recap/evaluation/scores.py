"""BLEU, ROUGE-L and CIDEr-D as COCO's official code gives them, without Java.

N images, R references of an image. Captions are tokenized text: words with one space between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from recap.errors import InputError

BLEU_ORDERS = 4


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
    """Score one caption an image with pycocoevalcap's scorers.

    The idf of CIDEr-D comes from the references given; with one image every idf, so every score, is 0.

    Args:
        captions: N tokenized captions; an empty one scores 0.
        references: N lists of R >= 1 tokenized captions of people.

    Raises:
        InputError: no reference has a word.
    """
    if not any(caption for own in references for caption in own):
        raise InputError("references: expected captions with words, received nothing but punctuation")
    candidates = {image: [caption] for image, caption in enumerate(captions)}
    originals = {image: list(own) for image, own in enumerate(references)}
    bleu = BleuScorer(n=BLEU_ORDERS)
    for caption, own in zip(captions, references, strict=True):
        bleu += (caption, own)
    statistics = [
        [image["testlen"], min((abs(length - image["testlen"]), length) for length in image["reflen"])[1]]
        + image["guess"]
        + image["correct"]
        for image in bleu.ctest
    ]
    return Scores(
        bleu=np.array(bleu.compute_score(option="closest")[0]),
        bleu_statistics=np.array(statistics, dtype=np.int64),
        rouge_l=Rouge().compute_score(originals, candidates)[1],
        cider_d=Cider().compute_score(originals, candidates)[1],
    )


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

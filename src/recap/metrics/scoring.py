"""Scores captions from Python: one function, and one class for captions that come in parts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recap.errors import InputError
from recap.metrics.config import TokenizerName
from recap.metrics.meteor.scoring import meteor
from recap.metrics.scores import score_captions
from recap.metrics.tokenization.by_name import tokenize_groups, tokenizer

METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider_d")


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = METRICS,
    *,
    tokenizer: TokenizerName = "ptb",
    documents: Sequence[Sequence[str]] | None = None,
    cache: Path | None = None,
) -> dict[str, float]:
    """Score one caption of each of N images.

    >>> score(["A cat sits."], [["A cat is sitting.", "The cat sits."]], metrics=["rouge_l"])
    {'rouge_l': 0.6666666666666666}

    Args:
        hypotheses: N captions, as written.
        references: one or more captions of people of each image.
        metrics: some of ``METRICS``: all from 0 to 1, cider_d from 0 to 10.
        tokenizer: "ptb" is COCO's; "whitespace" takes captions as tokenized.
        documents: captions of each image of a corpus that CIDEr-D's idf comes from, not from the references.
        cache: the folder of METEOR's compiled table; by default the user's folder of caches.

    Raises:
        InputError: the numbers do not agree, an image has no reference, or a metric is not known.
    """
    scorer = Scorer(metrics, tokenizer=tokenizer, documents=documents, cache=cache)
    scorer.add(hypotheses, references)
    return scorer.compute()


class Scorer:
    """Collects captions and scores all of them; arguments as of ``score``."""

    def __init__(
        self,
        metrics: Sequence[str] = METRICS,
        *,
        tokenizer: TokenizerName = "ptb",
        documents: Sequence[Sequence[str]] | None = None,
        cache: Path | None = None,
    ) -> None:
        unknown = [name for name in metrics if name not in METRICS]
        if unknown or not metrics:
            raise InputError(f"metrics: expected some of {', '.join(METRICS)}, received {unknown or 'none'}")
        self._metrics = tuple(metrics)
        self._tokenizer = tokenizer
        self._documents = documents
        self._cache = cache
        self._computed: tuple[dict[str, float], dict[str, NDArray[np.float64]]] | None = None
        self._captions: list[str] = []
        self._references: list[Sequence[str]] = []

    def add(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Take further images: a caption of each, and one or more of people."""
        if isinstance(hypotheses, str) or any(isinstance(own, str) for own in references):
            raise InputError("hypotheses, references: expected lists of captions, received text")
        if len(hypotheses) != len(references):
            raise InputError(
                f"references: expected those of {len(hypotheses)} images, received {len(references)}"
            )
        if not all(len(own) for own in references):
            raise InputError("references: expected at least one of every image, received an image with none")
        self._computed = None
        self._captions += hypotheses
        self._references += references

    def compute(self) -> dict[str, float]:
        """Return the scores of all images so far; CIDEr-D's idf comes from all of their references."""
        return self._compute()[0]

    def images(self) -> dict[str, NDArray[np.float64]]:
        """Return the scores of each image so far, (N,), of the metrics that images have: not BLEU."""
        return self._compute()[1]

    def _compute(self) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
        if self._computed is not None:
            return self._computed
        if not self._captions:
            raise InputError("hypotheses: expected at least one, received none")
        tokenize = tokenizer(self._tokenizer)
        captions, references = tokenize(self._captions), tokenize_groups(tokenize, self._references)
        documents = None if self._documents is None else tokenize_groups(tokenize, self._documents)
        totals: dict[str, float] = {}
        images: dict[str, NDArray[np.float64]] = {}
        if set(self._metrics) != {"meteor"}:
            scores = score_captions(captions, references, documents)
            totals |= scores.metrics()
            images |= {"rouge_l": scores.rouge_l, "cider_d": scores.cider_d}
        if "meteor" in self._metrics:
            found = meteor(captions, references, self._cache)
            totals["meteor"], images["meteor"] = found.total, found.scores
        self._computed = (
            {name: totals[name] for name in self._metrics},
            {name: images[name] for name in self._metrics if name in images},
        )
        return self._computed

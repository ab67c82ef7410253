"""Scores the captions of all test images, each part of the set apart."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.evaluation.config import EvaluateConfig
from recap.metrics.scores import score_captions
from recap.metrics.summary import summarize
from recap.metrics.tokenization.by_name import tokenize_groups, tokenizer
from recap.metrics.truth import Claim, check_caption, is_true
from recap.text.coco_files import References
from recap.text.vocabulary import split_words


@dataclass(frozen=True)
class Evaluation:
    """What the stage `evaluate` writes; rows in the order of the images."""

    results: list[dict[str, Any]]  # captions in COCO's results format
    per_image: list[dict[str, Any]]  # a caption's scores, and for scenes the kinds of its false claims
    metrics: dict[str, Any]  # one group of metrics for each part of the set


def evaluate(
    captions: Sequence[str],
    references: References,
    training_captions: Collection[str],
    scenes: Sequence[Mapping[str, Any]] | None,
    config: EvaluateConfig,
) -> Evaluation:
    """Score one caption an image against the captions that people wrote, and against the scene graphs.

    Args:
        captions: one a test image, in the order of ``references``.
        references: the original captions.
        training_captions: the original captions of the training set, which a novel caption is not among.
        scenes: scene graphs in the same order, or None.
        config: the tokenizer, the bootstrap resamples and their seed.
    """
    tokenize = tokenizer(config.tokenizer)
    tokenized = tokenize(captions)
    originals = tokenize_groups(tokenize, references.captions)
    known = frozenset(tokenize(tuple(training_captions)))
    valid = frozenset(word for caption in training_captions for word in split_words(caption))
    per_image: list[dict[str, Any]] = [
        {"image_id": image_id, "part": part, "caption": caption}
        for image_id, part, caption in zip(references.image_ids, references.parts, captions, strict=True)
    ]
    claims = None
    if scenes is not None:
        claims = [check_caption(caption, scene) for caption, scene in zip(captions, scenes, strict=True)]
    metrics: dict[str, Any] = {}
    for part in sorted(set(references.parts)):
        rows = [index for index, own in enumerate(references.parts) if own == part]
        part_captions = [tokenized[row] for row in rows]
        part_references = [originals[row] for row in rows]
        scores = score_captions(part_captions, part_references)
        truth: dict[str, NDArray[np.float64]] = {}
        if claims is not None:
            truth["truth"] = np.array([is_true(claims[row]) for row in rows], dtype=np.float64)
        columns = {"rouge_l": scores.rouge_l, "cider_d": scores.cider_d, **truth}
        for position, row in enumerate(rows):
            per_image[row] |= {name: float(values[position]) for name, values in columns.items()}
        metrics[part] = summarize(
            part_captions,
            part_references,
            scores,
            further=truth,
            training_captions=known,
            resamples=config.bootstrap_resamples,
            generator=np.random.default_rng(config.seed),
        )
        metrics[part]["invalid_words"] = invalid_words([captions[row] for row in rows], valid)
        if claims is not None:
            metrics[part] |= claim_metrics([claims[row] for row in rows])
    if claims is not None:
        for entry, own in zip(per_image, claims, strict=True):
            entry["failed_claims"] = sorted(claim.kind for claim in own if not claim.holds)
    results = [
        {"image_id": image_id, "caption": caption}
        for image_id, caption in zip(references.image_ids, captions, strict=True)
    ]
    return Evaluation(results, per_image, metrics)


def invalid_words(captions: Sequence[str], valid: Collection[str]) -> float:
    """Return the fraction of words that no training caption has: 0 unless characters are written."""
    words = [word for caption in captions for word in split_words(caption)]
    return sum(word not in valid for word in words) / max(len(words), 1)


def claim_metrics(claims: Sequence[Sequence[Claim]]) -> dict[str, Any]:
    """Count claims a caption, and for each kind of claim the share of them that fail."""
    flat = [claim for own in claims for claim in own]
    counts = Counter(claim.kind for claim in flat)
    failed = Counter(claim.kind for claim in flat if not claim.holds)
    return {
        "claims_per_caption": len(flat) / len(claims),
        "failed_claims": {kind: failed[kind] / count for kind, count in sorted(counts.items())},
    }

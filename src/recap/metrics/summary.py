"""Everything that is said about one set of captions: scores with intervals, floor, ceiling, diversity."""

from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.metrics.diversity import diversity
from recap.metrics.meteor.scoring import MeteorScores
from recap.metrics.resampling import bootstrap_means, interval
from recap.metrics.scores import Scores
from recap.metrics.systems import metrics_of


def summarize(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    scores: Scores,
    *,
    further: Mapping[str, NDArray[np.float64]],
    meteor: MeteorScores | None = None,
    training_captions: Collection[str] | None,
    resamples: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Compute metrics of one set of N images, next to what they were computed on.

    Args:
        captions: N tokenized captions.
        references: tokenized captions of people for each of the N images.
        scores: what ``score_captions`` gave for them.
        further: other scores, (N,) each, whose means and intervals are reported as well.
        meteor: their METEOR, or None to leave it out.
        training_captions: tokenized captions that a novel caption is not among; None leaves that share out.
        resamples: bootstrap resamples of the 95 % intervals.
        generator: draws them.

    Returns:
        Nested numbers and words, ready for JSON. ``idf`` says which references the idf comes from.
    """
    return {
        **source_of(references),
        **scores.metrics(),
        **({} if meteor is None else {"meteor": meteor.total}),
        **{name: float(values.mean()) for name, values in further.items()},
        "interval": _intervals(scores, further, meteor, resamples, generator),
        **_floor_and_ceiling(references),
        **diversity(captions, training_captions),
    }


def source_of(references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return how many images and references are scored, and what CIDEr-D's idf comes from."""
    count = sum(map(len, references))
    idf = f"the {count} references of these {len(references)} images"
    return {"images": len(references), "references": count, "idf": idf}


def _floor_and_ceiling(references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Score one caption for all images, and people; nothing without SciPy, which is large."""
    if find_spec("scipy") is None:
        return {}
    from recap.metrics.baselines import best_constant_caption, leave_one_out

    constant, constant_score = best_constant_caption(references)
    people = leave_one_out(references)
    human = {"human_cider_d": float(people.mean())} if len(people) else {}
    return {"constant_caption": constant, "constant_cider_d": constant_score, **human}


def _intervals(
    scores: Scores,
    further: Mapping[str, NDArray[np.float64]],
    meteor: MeteorScores | None,
    resamples: int,
    generator: np.random.Generator,
) -> dict[str, dict[str, float]]:
    means = {"rouge_l": scores.rouge_l, "cider_d": scores.cider_d, **further}
    of_meteor = [] if meteor is None else [meteor.statistics]
    statistics = np.column_stack([scores.bleu_statistics, *means.values(), *of_meteor])  # (N, S)
    samples = bootstrap_means(statistics, resamples, generator)  # (B, S)
    metrics = metrics_of(samples, len(statistics), list(means))
    return {name: interval(values) for name, values in metrics.items()}

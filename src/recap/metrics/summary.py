"""Everything that is said about one set of captions: scores with intervals, floor, ceiling, diversity."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.metrics.baselines import best_constant_caption, leave_one_out
from recap.metrics.diversity import diversity
from recap.metrics.resampling import bootstrap_means, interval
from recap.metrics.scores import Scores, bleu_of


def summarize(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    scores: Scores,
    *,
    further: Mapping[str, NDArray[np.float64]],
    training_captions: Collection[str] | None,
    resamples: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Metrics of one set of N images, next to what they were computed on.

    Args:
        captions: N tokenized captions.
        references: tokenized captions of people for each of the N images.
        scores: what ``score_captions`` gave for them.
        further: other scores, (N,) each, whose means and intervals are reported as well.
        training_captions: tokenized captions that a novel caption is not among; None leaves that share out.
        resamples: bootstrap resamples of the 95 % intervals.
        generator: draws them.

    Returns:
        Nested numbers and words, ready for JSON. ``idf`` says which references the idf comes from.
    """
    count = sum(len(own) for own in references)
    constant, constant_score = best_constant_caption(references)
    people = leave_one_out(references)
    return {
        "images": len(captions),
        "references": count,
        "idf": f"the {count} references of these {len(captions)} images",
        **scores.metrics(),
        **{name: float(values.mean()) for name, values in further.items()},
        "interval": _intervals(scores, further, resamples, generator),
        "constant_caption": constant,
        "constant_cider_d": constant_score,
        **({"human_cider_d": float(people.mean())} if len(people) else {}),
        **diversity(captions, training_captions),
    }


def _intervals(
    scores: Scores, further: Mapping[str, NDArray[np.float64]], resamples: int, generator: np.random.Generator
) -> dict[str, dict[str, float]]:
    means = {"rouge_l": scores.rouge_l, "cider_d": scores.cider_d, **further}
    statistics = np.column_stack([scores.bleu_statistics, *means.values()])  # (N, S)
    samples = bootstrap_means(statistics, resamples, generator)  # (B, S)
    width = scores.bleu_statistics.shape[1]
    bleu = bleu_of(samples[:, :width] * len(statistics))  # (B, 4)
    columns = {f"bleu_{order + 1}": bleu[:, order] for order in range(bleu.shape[1])}
    columns |= {name: samples[:, width + index] for index, name in enumerate(means)}
    return {name: interval(values) for name, values in columns.items()}

"""Scores several captioners on the same images: intervals, and paired tests with Holm's correction.

N images, S statistics of an image, B resamples. Every metric is a function of the mean of the statistics.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.metrics.meteor.scoring import meteor, score_statistics
from recap.metrics.resampling import ROWS_AT_ONCE, bootstrap_means, interval
from recap.metrics.scores import bleu_of, score_captions
from recap.progress import track

_BLEU = 10  # statistics of BLEU


@dataclass(frozen=True)
class System:
    """The scores of one captioner.

    Attributes:
        statistics: (N, S) float64: BLEU's, ROUGE-L, CIDEr-D, then METEOR's if it was asked for. With several
            candidates of an image they are those of all, averaged.
        best: means over images of the best candidate's score; nothing with one candidate an image.
    """

    statistics: NDArray[np.float64]
    best: dict[str, float]

    @property
    def metrics(self) -> dict[str, float]:
        """The scores by name."""
        means = self.statistics.mean(axis=0)[None]
        return {name: float(values[0]) for name, values in metrics_of(means, len(self.statistics)).items()}


def score_system(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    with_meteor: bool,
    documents: Sequence[Sequence[str]] | None = None,
) -> System:
    """Score a captioner's captions, all tokenized.

    Args:
        candidates: one or more captions of each of the N images.
        references: captions of people of each.
        with_meteor: whether METEOR is among the scores.
        documents: captions of the images that CIDEr-D's idf comes from; by default the references.
    """
    counts = np.array([len(own) for own in candidates])
    sums = np.zeros((len(candidates), 1))
    best: dict[str, NDArray[np.float64]] = {}
    for place in range(int(counts.max())):
        images = np.flatnonzero(counts > place)
        captions = [candidates[image][place] for image in images.tolist()]
        people = [references[image] for image in images.tolist()]
        corpus = documents or (None if len(images) == len(candidates) else references)
        scores = score_captions(captions, people, corpus)
        columns: list[NDArray[Any]] = [scores.bleu_statistics, scores.rouge_l, scores.cider_d]
        of_image = {"rouge_l": scores.rouge_l, "cider_d": scores.cider_d}
        if with_meteor:
            found = meteor(captions, people)
            columns.append(found.statistics)
            of_image["meteor"] = found.scores
        values = np.column_stack(columns).astype(np.float64)
        if place == 0:
            sums = np.zeros((len(candidates), values.shape[1]))
        sums[images] += values
        for name, own in of_image.items():
            highest = best.setdefault(name, np.zeros(len(candidates)))
            highest[images] = np.maximum(highest[images], own)
    means = {name: float(highest.mean()) for name, highest in best.items()} if counts.max() > 1 else {}
    return System(sums / counts[:, None], means)


def compare_systems(systems: Mapping[str, System], resamples: int, seed: int) -> dict[str, Any]:
    """Return every metric of every system with its 95 % interval, and every pair of systems.

    The p-values are of two-sided permutation tests, which swap the two captions of an image; those of one
    metric are corrected for the number of pairs (Holm 1979).
    """
    samples = {
        name: metrics_of(
            bootstrap_means(system.statistics, resamples, np.random.default_rng(seed)), len(system.statistics)
        )
        for name, system in systems.items()
    }
    pairs = list(itertools.combinations(systems, 2))
    tests = {
        pair: _permutation(systems[pair[0]], systems[pair[1]], resamples, np.random.default_rng(seed))
        for pair in pairs
    }
    metrics = list(next(iter(samples.values())))
    comparisons = []
    for metric in metrics:
        corrected = holm([tests[pair][metric] for pair in pairs])
        for (first, second), holm_value in zip(pairs, corrected, strict=True):
            comparisons.append(
                {
                    **{"metric": metric, "first": first, "second": second},
                    "difference": systems[first].metrics[metric] - systems[second].metrics[metric],
                    **interval(samples[first][metric] - samples[second][metric]),
                    **{"p_value": tests[first, second][metric], "p_holm": holm_value},
                }
            )
    rows = [
        {
            "name": name,
            "metrics": {
                metric: {"value": value, **interval(samples[name][metric])}
                for metric, value in system.metrics.items()
            },
            **({"best": system.best} if system.best else {}),
        }
        for name, system in systems.items()
    ]
    return {"systems": rows, "comparisons": comparisons}


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values, corrected for their number (Holm 1979)."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def metrics_of(
    means: NDArray[np.float64], images: int, names: Sequence[str] = ("rouge_l", "cider_d")
) -> dict[str, NDArray[np.float64]]:
    """Return every metric from means of statistics (B, S): BLEU's, those named, then METEOR's if any."""
    # of counts; BLEU's roots would make a rounding error of 1e-16 beside a count of 0 one of 1e-4
    bleu = bleu_of(np.round(means[:, :_BLEU] * images, 9))
    columns = {f"bleu_{order}": bleu[:, order - 1] for order in range(1, 5)}
    end = _BLEU + len(names)
    if means.shape[1] > end:
        columns["meteor"] = np.array([score_statistics(row) for row in means[:, end:].tolist()])
    return columns | dict(zip(names, means[:, _BLEU:end].T, strict=True))


def _permutation(
    first: System, second: System, resamples: int, generator: np.random.Generator
) -> dict[str, float]:
    images = len(first.statistics)
    own, other = first.statistics.mean(axis=0), second.statistics.mean(axis=0)
    differences = (first.statistics - second.statistics) / images
    observed = {name: value - second.metrics[name] for name, value in first.metrics.items()}
    extreme = dict.fromkeys(observed, 0)
    chunk = max(1, ROWS_AT_ONCE // images)
    for start in track(range(0, resamples, chunk), "paired test"):
        swapped = generator.integers(0, 2, size=(min(chunk, resamples - start), images), dtype=np.int8)
        moved = swapped.astype(np.float64) @ differences
        ours, theirs = metrics_of(own - moved, images), metrics_of(other + moved, images)
        for name, value in observed.items():
            extreme[name] += int(np.sum(np.abs(ours[name] - theirs[name]) >= abs(value) - 1e-12))
    # The observed captions are one of the possible draws, so p is never 0.
    return {name: (count + 1) / (resamples + 1) for name, count in extreme.items()}

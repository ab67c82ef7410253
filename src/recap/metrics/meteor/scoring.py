"""METEOR's score of an alignment, of a caption with several references, and of a set of captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from recap.metrics.meteor.alignment import align
from recap.metrics.meteor.matching import Match, Matcher, Sentence
from recap.metrics.meteor.tables import load_tables
from recap.progress import track

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""English: recall before precision, the form and the weight of the penalty, content before function words."""
STAGE_WEIGHTS = (1.0, 0.6, 0.8, 0.6)
_NUMBERS = 23  # of the statistics


Statistics = list[float]
"""What the score of a caption with a reference needs; of a set, the sums.

In METEOR's order: words of the caption, of the reference; function words of both; for each stage the matched
content words of the caption, of the reference, then function words; chunks, runs of matches adjacent in both;
matched words of the caption, of the reference.
"""


def count_statistics(caption: Sentence, reference: Sentence, matches: Sequence[Match]) -> Statistics:
    """Count what an alignment matched."""
    counts = [0.0] * 4 * len(STAGE_WEIGHTS)
    chunks = 0
    ends = (-1, -1)
    for start, length, place, reference_length, stage in sorted(matches):
        chunks += ends != (start, place)
        ends = (start + length, place + reference_length)
        for word in range(start, start + length):
            counts[4 * stage + (2 if caption.function[word] else 0)] += 1
        for word in range(place, place + reference_length):
            counts[4 * stage + (3 if reference.function[word] else 1)] += 1
    sizes = [len(caption.words), len(reference.words), sum(caption.function), sum(reference.function)]
    return [*map(float, sizes), *counts, float(chunks), sum(counts[::2]), sum(counts[1::2])]


def score_statistics(statistics: Sequence[float]) -> float:
    """Return the score from what was counted, or from its sums or means over a set."""
    words, reference_words, function, reference_function, *counts = _penalized(statistics)
    *counts, chunks, matched, reference_matched = counts
    own = other = 0.0
    for stage, weight in enumerate(STAGE_WEIGHTS):
        content, reference_content, functional, reference_functional = counts[4 * stage : 4 * stage + 4]
        own += weight * (DELTA * content + (1 - DELTA) * functional)
        other += weight * (DELTA * reference_content + (1 - DELTA) * reference_functional)
    length = _weighted(words, function)
    reference_length = _weighted(reference_words, reference_function)
    if own == 0 or other == 0 or length == 0 or reference_length == 0:
        return 0.0
    precision, recall = own / length, other / reference_length
    mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
    fragmentation = chunks / ((matched + reference_matched) / 2)
    return float(mean * (1 - GAMMA * fragmentation**BETA))


def _penalized(statistics: Sequence[float]) -> Sequence[float]:
    """With the chunks that are penalized: that a caption matches its reference in one piece costs nothing."""
    words, reference_words, *_, chunks, matched, reference_matched = statistics
    if chunks == 1 and matched == words and reference_matched == reference_words:
        return [*statistics[:-3], 0.0, matched, reference_matched]
    return statistics


def _weighted(words: float, function: float) -> float:
    return DELTA * (words - function) + (1 - DELTA) * function


def count_captions(
    captions: Sequence[str], references: Sequence[Sequence[str]], cache: Path | None = None
) -> Iterator[Statistics]:
    """Count each caption with its references; the one that scores best counts. Arguments as of ``meteor``."""
    matcher = Matcher(load_tables(cache or user_cache_path("recap")))
    texts = (text for caption, own in zip(captions, references, strict=True) for text in (caption, *own))
    sentences = matcher.prepare(map(_field, texts))

    def count(caption: Sentence, reference: Sentence) -> Statistics:
        matches = align(matcher.match(caption, reference), len(reference.words))
        return count_statistics(caption, reference, matches)

    def count_best(own: Sequence[str]) -> Statistics:
        caption = next(sentences)
        return max((count(caption, next(sentences)) for _ in own), key=score_statistics)

    return map(count_best, references)


def _field(text: str) -> str:
    """Return what of a caption the official code hands to METEOR."""
    return text.replace("|||", "").replace("  ", " ")


@dataclass(frozen=True)
class MeteorScores:
    """METEOR of one set of captions.

    Attributes:
        total: the score of the set, from its summed statistics.
        scores: (N,) float64, one an image.
        statistics: (N, 23) float64, from whose sums or means ``score_statistics`` makes a set's score.
    """

    total: float
    scores: NDArray[np.float64]
    statistics: NDArray[np.float64]


def meteor(
    captions: Sequence[str], references: Sequence[Sequence[str]], cache: Path | None = None
) -> MeteorScores:
    """METEOR 1.5 (Denkowski and Lavie 2014) with English defaults, as COCO's official code runs it.

    Of N tokenized captions, each with those of people; ``cache`` is the folder of compiled tables, by default
    the user's.
    """
    counts = count_captions(captions, references, cache)
    scores, rows = np.empty(len(captions)), np.empty((len(captions), _NUMBERS))
    for place, own in enumerate(track(counts, "METEOR", len(captions))):
        scores[place], rows[place] = score_statistics(own), _penalized(own)
    return MeteorScores(score_statistics(rows.sum(axis=0).tolist()), scores, rows)

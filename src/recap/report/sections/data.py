"""The data: how much there is, what it looks like, how long and how varied the captions are."""

from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from recap.report.config import ReportConfig
from recap.report.figures import WIDE, Axis, Curve, histogram, line_chart, log_axis
from recap.report.inputs import Inputs
from recap.report.labels import name, number
from recap.report.selection import Selection, shown_image
from recap.text.vocabulary import NULL, UNK

SPLIT_CLASSES = {"train": "split-train", "val": "split-val"}


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any]:
    """Counts of both splits, a histogram of caption lengths, samples with all their captions."""
    lengths = {split: word_counts(inputs.captions.of(split)[0]) for split in SPLIT_CLASSES}
    longest = max(int(values.max(initial=1)) for values in lengths.values())
    shortest = min(int(values.min(initial=longest)) for values in lengths.values())
    bins = range(shortest, longest + 1)
    shares = {
        split: [float(np.mean(values == words)) if len(values) else 0.0 for words in bins]
        for split, values in lengths.items()
    }
    return {
        "source": inputs.raw.source,
        "vocabulary": number(len(inputs.captions.vocabulary), "count"),
        "splits": [_counts(inputs, split, lengths[split]) for split in SPLIT_CLASSES],
        "parts": _part_counts(inputs),
        "lengths": histogram(
            list(bins),
            [(name(split), css, shares[split]) for split, css in SPLIT_CLASSES.items()],
            "Words in a caption",
            f"Histogram of caption lengths, {shortest} to {longest} words, training and validation",
            size=WIDE,
        ),
        "repeated": _repeated(inputs),
        "words": number(inputs.description["vocabulary"]["words"], "count"),
        "once": number(inputs.description["vocabulary"]["once"], "count"),
        "coverage": _coverage(inputs.description["vocabulary"]["curve"]),
        "legend": [(name(split), css) for split, css in SPLIT_CLASSES.items()],
        "samples": [
            {
                "image": shown_image(inputs, "train", row),
                "references": inputs.splits["train"].references[row],
            }
            for row in selection.training
        ],
    }


def word_counts(captions: NDArray[np.int32]) -> NDArray[np.int64]:
    """Words of each encoded caption (M, L), <START> and <END> not counted: (M,)."""
    return np.count_nonzero(captions != NULL, axis=1) - 2


def _counts(inputs: Inputs, split: str, words: NDArray[np.int64]) -> dict[str, str]:
    captions = inputs.captions.of(split)[0]
    unknown = np.count_nonzero(captions == UNK) / max(int(words.sum()), 1)
    images = len(inputs.splits[split].images)
    return {
        "name": name(split),
        "images": number(images, "count"),
        "captions": number(len(captions), "count"),
        "captions_per_image": number(len(captions) / max(images, 1), "decimal"),
        "words": number(float(words.mean()) if len(words) else None, "decimal"),
        "unknown": f"{100 * unknown:.2f} %",
    }


def _repeated(inputs: Inputs) -> list[tuple[str, str, str]]:
    """Return what occurs more than once: in the training split, in the validation split, in both."""
    splits, overlap = inputs.description["splits"], inputs.description["overlap"]
    rows = []
    for thing in ("images", "captions"):
        within = ", ".join(
            f"{number(splits[split]['duplicates'][thing], 'count')} in {name(split).lower()}"
            for split in SPLIT_CLASSES
        )
        rows.append((thing.capitalize(), within, number(overlap[thing], "count")))
    return rows


def _coverage(curve: dict[int, float]) -> Markup | None:
    """Return how much of the training text the most frequent words cover; None without words."""
    if not curve:
        return None
    words, percent = [float(count) for count in curve], [100 * share for share in curve.values()]
    return line_chart(
        [Curve(words, percent, "split-val", "covered, in %")],
        log_axis(words, "Most frequent words"),
        Axis(0, 100, range(0, 101, 20), "Words covered in %"),
        f"Share of the training words that the most frequent ones cover, up to {words[-1]:.0f}",
        marked=None,
        size=WIDE,
    )


def _part_counts(inputs: Inputs) -> list[tuple[str, str]]:
    parts = [image["part"] for image in inputs.splits["val"].images if "part" in image]
    return [(name(part), number(parts.count(part), "count")) for part in sorted(set(parts))]

"""The data: how much there is, what it looks like, how long and how varied the captions are."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from recap.core.raw_data import SPLITS
from recap.report.figures import WIDE, Axis, Curve, histogram, line_chart, log_axis
from recap.report.inputs import Inputs
from recap.report.labels import count_of, listing, name, number


def build(inputs: Inputs) -> dict[str, Any]:
    """Return counts of the splits, a histogram of caption lengths, samples with all their captions."""
    found, vocabulary = inputs.description["splits"], inputs.description["vocabulary"]
    encoded = inputs.description["encoded"]
    parts = [image["part"] for image in inputs.splits["test"].images if "part" in image]
    once = vocabulary["once"]
    left_out = any(encoded[split]["captions"] < found[split]["captions"] for split in SPLITS)
    return {
        "source": inputs.raw.source,
        "vocabulary": number(encoded["words"], "count"),
        "splits": [_counts(split, found[split], encoded[split]) for split in SPLITS],
        "parts": listing(
            [f"{number(parts.count(part), 'count')} {name(part).lower()}" for part in sorted(set(parts))]
        ),
        "longest": inputs.captions.of("train")[0].shape[1] - 2 if left_out else None,
        "lengths": _lengths({split: found[split]["lengths"] for split in SPLITS}),
        "repeated": [
            [
                thing.capitalize(),
                *(number(found[split]["duplicates"][thing], "count") for split in SPLITS),
                *(number(own[thing], "count") for own in inputs.description["overlap"].values()),
            ]
            for thing in ("images", "captions")
        ],
        "words": count_of(vocabulary["words"], "different word"),
        "once": number(once, "count") if once else "none",
        "coverage": _coverage(vocabulary["curve"]),
        "legend": [(name(split), f"split-{split}") for split in SPLITS],
        "samples": [
            {
                "image": inputs.shown_image("train", row),
                "references": inputs.splits["train"].references[row],
            }
            for row in inputs.selection.training
        ],
    }


def _counts(split: str, found: Mapping[str, Any], encoded: Mapping[str, Any]) -> list[str]:
    words = sum(length * count for length, count in found["lengths"].items())
    return [
        name(split).removesuffix(" images"),
        number(found["images"], "count"),
        number(found["captions"], "count"),
        number(found["captions"] / max(found["images"], 1), "decimal"),
        number(words / max(found["captions"], 1), "decimal"),
        number(encoded["captions"], "count"),
        f"{100 * encoded['unknown_share']:.2f}\N{NO-BREAK SPACE}%",
    ]


def _lengths(counts: Mapping[str, Mapping[int, int]]) -> Markup:
    """Return how many captions have how many words, by split."""
    lengths = [length for own in counts.values() for length in own]
    shortest, longest = min(lengths, default=1), max(lengths, default=1)
    bins = range(shortest, longest + 1)
    series = [
        (name(split), f"split-{split}", [own.get(length, 0) / max(sum(own.values()), 1) for length in bins])
        for split, own in counts.items()
    ]
    description = f"Histogram of caption lengths, {shortest} to {longest} words, by split"
    return histogram(list(bins), series, "Words in a reference", description)


def _coverage(curve: Mapping[int, float]) -> Markup | None:
    """Return how much of the training text the most frequent words cover; None without words."""
    if not curve:
        return None
    words, percent = [float(count) for count in curve], [100 * share for share in curve.values()]
    return line_chart(
        [Curve(words, percent, "split-test", "covered, in %")],
        log_axis(words, "Most frequent words"),
        Axis(0, 100, range(0, 101, 20), "Words covered in %"),
        f"Share of the training words that the most frequent ones cover, up to {words[-1]:.0f}",
        size=WIDE,
    )

"""Where captions go wrong: scores by image, words used too much or too little, what is taken for what."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from markupsafe import Markup

from recap.metrics.truth import Claim, check_caption
from recap.report.figures import SMALL, Curve, axis, line_chart
from recap.report.inputs import Decoder, Inputs
from recap.report.labels import listing, name
from recap.sources.scenes.graphs import OPPOSITE
from recap.text.vocabulary import split_words

BINS = 12
WORDS = 20
CONFUSED = ("digit", "colour")
RELATIONS = {"side by side": ("left of", "right of"), "stacked": ("above", "below")}
"""By the arrangement of two digits, what the first one can be to the other."""


def build(inputs: Inputs) -> dict[str, Any]:
    """Return figures of the scores, the table of words and, for scenes, what is taken for what."""
    return {
        "distribution": _distribution(inputs.decoders),
        "shown": len(inputs.selection.gallery),
        "scored": len(inputs.splits["test"].images),
        "legend": [(decoder.name, name(decoder.name)) for decoder in inputs.decoders],
        "pairs": [
            {
                "first": name(first.name),
                "second": name(second.name),
                "figure": _pair(first, second, inputs.selection.gallery),
            }
            for first, second in combinations(inputs.decoders, 2)
        ],
        "words": _words(inputs),
        "confusions": _confusions(inputs) if inputs.raw.source.scenes else [],
    }


def _distribution(decoders: Sequence[Decoder]) -> Markup:
    """Return the share of images by CIDEr-D, a line for each decoder."""
    scores = {own.name: [row["cider_d"] for row in own.per_image] for own in decoders}
    x_axis = axis([score for own in scores.values() for score in own], "CIDEr-D", from_zero=True)
    width = (x_axis.high - x_axis.low) / BINS
    curves = []
    for decoder, own in scores.items():
        counts = Counter(min(int((score - x_axis.low) / width), BINS - 1) for score in own)
        middles = [x_axis.low + (place + 0.5) * width for place in range(BINS)]
        shares = [100 * counts[place] / len(own) for place in range(BINS)]
        curves.append(Curve(middles, shares, f"decoder-{decoder}", name(decoder)))
    y_axis = axis([share for curve in curves for share in curve.y], "Images in %", from_zero=True)
    return line_chart(curves, x_axis, y_axis, "The share of images by their CIDEr-D", size=SMALL)


def _pair(first: Decoder, second: Decoder, rows: Sequence[int]) -> Markup:
    """Return a point for each image: the CIDEr-D of two decoders."""
    x, y = ([own.per_image[row]["cider_d"] for row in rows] for own in (first, second))
    both = axis([*x, *y], "", from_zero=True)
    x_axis, y_axis = (replace(both, label=f"CIDEr-D, {name(own.name)}") for own in (first, second))
    ends = [both.low, both.high]
    curves = [Curve(ends, ends, "limit"), Curve(x, y, f"decoder-{second.name}", dots=True)]
    what = f"CIDEr-D of the {name(first.name)} and the {name(second.name)}, a point an image"
    return line_chart(curves, x_axis, y_axis, what, size=SMALL)


def _words(inputs: Inputs) -> list[dict[str, Any]]:
    """Return the words whose use differs most from the references', in uses a thousand words."""
    texts = [text for references in inputs.splits["test"].references for text in references]
    expected = _rates(texts)
    said = [_rates(decoder.captions) for decoder in inputs.decoders]
    words = sorted({word for rates in (expected, *said) for word in rates})

    def farthest(word: str) -> float:
        return max(abs(rates.get(word, 0.0) - expected.get(word, 0.0)) for rates in said)

    return [
        {
            "word": word,
            "references": f"{expected.get(word, 0.0):.1f}",
            "cells": [
                (f"{rates.get(word, 0.0):.1f}", _sign(rates.get(word, 0.0) - expected.get(word, 0.0)))
                for rates in said
            ],
        }
        for word in sorted(words, key=lambda word: -farthest(word))[:WORDS]
    ]


def _rates(texts: Sequence[str]) -> dict[str, float]:
    counts = Counter(word for text in texts for word in split_words(text))
    return {word: 1000 * count / counts.total() for word, count in counts.items()}


def _sign(difference: float) -> str:
    text = f"{abs(difference):.1f}"
    return text if text == "0.0" else f"{'−' if difference < 0 else '+'}{text}"


def _confusions(inputs: Inputs) -> list[dict[str, Any]]:
    """Count how often what a scene shows (a row) was said as what (a column), all decoders together."""
    counts: dict[str, Counter[tuple[str, str]]] = {kind: Counter() for kind in (*CONFUSED, "relation")}
    scenes = inputs.raw.scenes("test")
    for decoder in inputs.decoders:
        for caption, scene in zip(decoder.captions, scenes, strict=True):
            claims = check_caption(caption, scene)
            for kind in CONFUSED:
                said = Counter(claim.value for claim in claims if claim.kind == kind)
                shown = Counter(str(one[kind]) for one in scene["objects"])
                counts[kind].update(_pairs(shown, said))
            arrangement = str(scene["arrangement"]) if len(scene["objects"]) > 1 else "one digit"
            counts["relation"].update(
                (_relation(claim, arrangement), claim.value) for claim in claims if claim.kind == "relation"
            )
    return [_matrix(kind, own) for kind, own in counts.items() if own]


def _pairs(shown: Counter[str], said: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield what is right, and what is left over where that is one pair: the two were confused."""
    yield from ((value, value) for value in (shown & said).elements())
    rest = [*(shown - said).elements()], [*(said - shown).elements()]
    if len(rest[0]) == len(rest[1]) == 1:
        yield rest[0][0], rest[1][0]


def _relation(claim: Claim, arrangement: str) -> str:
    """Return how two digits stand to each other; their arrangement where the caption names the other axis."""
    if claim.holds:
        return claim.value
    return OPPOSITE[claim.value] if claim.value in RELATIONS.get(arrangement, ()) else arrangement


def _matrix(kind: str, counts: Counter[tuple[str, str]]) -> dict[str, Any]:
    shown, said = (sorted({pair[place] for pair in counts}) for place in (0, 1))
    others = [value for value in shown if kind == "relation" and value not in OPPOSITE]
    columns = sorted({*shown, *said} - {*others})
    rows = columns + others
    totals = {row: sum(counts[row, column] for column in columns) or 1 for row in rows}
    return {
        "kind": kind,
        "values": columns,
        "others": listing(others),
        "rows": [
            (row, [(counts[row, column], counts[row, column] / totals[row]) for column in columns])
            for row in rows
        ],
    }

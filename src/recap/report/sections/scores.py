"""The scores of each part of the test set beside floor and ceiling, differences, and false claims."""

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from recap.metrics.resampling import PairedDifference, paired_difference
from recap.report.inputs import Decoder, Inputs
from recap.report.labels import LARGEST_CHANCE, PARTS, in_order, listing, metric, name, number, tested
from recap.report.sections import seeds

BARS = ("truth", "cider_d")
TESTED = (*BARS, "rouge_l")
"""Scores that there are of every image."""
RESAMPLES = 2000
BASELINES = {"constant_": "Best constant caption", "human_": "One reference against the others"}
SEARCHES = {"sample": "sampling", "consensus": "the consensus of samples"}
SEARCH_SETTINGS = {
    "sample": ("temperature", "top_k", "top_p"),
    "beam": ("beam_width", "length_normalisation"),
    "diverse_beam": ("beam_width", "groups", "diversity"),
    "consensus": ("candidates", "pseudo_references", "neighbours"),
}
TABLES = {"scores": "every score", "manner": "what the captions are like"}
BESIDE = ("images", "references")
"""Counts of what was scored: said above the table."""
LONG_NUMBER = re.compile(r"\d{4,}")


def build(inputs: Inputs) -> dict[str, Any]:
    """For every part: bars of the headline metrics, the table of all metrics, failing claims by kind."""
    return {
        "references": inputs.raw.source.references,
        "search": search(inputs.params),
        "last": inputs.params.get("train", {}).get("keep") == "last",
        "parts": [_part(inputs, part) for part in inputs.parts],
        "seeds": seeds.build(inputs.seeds, inputs.decoders),
    }


def _part(inputs: Inputs, part: str) -> dict[str, Any]:
    decoders, metrics = inputs.decoders, inputs.decoders[0].metrics[part]
    tables = [table(decoders, part, kind, inputs.seed) for kind in TABLES]
    return {
        "title": name(part),
        "text": PARTS.get(part, ""),
        "images": number(metrics.get("images"), "count"),
        "count": number(metrics.get("references"), "count"),
        "idf": LONG_NUMBER.sub(lambda digits: f"{int(digits[0]):,}", metrics.get("idf", "")),
        "differences": differences(decoders, part, inputs.seed),
        "tested": listing([metric(key).label for key in TESTED if _has_all(decoders, part, key)]),
        "bars": [bars for key in BARS if (bars := _bars(decoders, part, key))],
        "tables": [shown for shown in tables if shown],
        "claims": _failed_claims(decoders, part),
        "constant": metrics.get("constant_caption"),
        "intervals": any("interval" in decoder.metrics[part] for decoder in decoders),
    }


def columns(decoders: list[Decoder], part: str, kind: str) -> list[str]:
    """Return a table's metrics that are numbers, known ones first in their order, baselines left out."""
    present = {
        key
        for decoder in decoders
        for key, value in decoder.metrics[part].items()
        if isinstance(value, int | float) and not key.startswith(tuple(BASELINES)) and key not in BESIDE
    }
    return [key for key in in_order(present) if metric(key).table == kind]


def table(decoders: list[Decoder], part: str, kind: str, seed: int) -> dict[str, Any] | None:
    """Return rows of written numbers, the best of a column marked where one way is better, or None."""
    keys = columns(decoders, part, kind)
    if not keys:
        return None
    best = {key: _best(decoders, part, key, seed) for key in keys}
    rows = [
        {
            "name": name(decoder.name),
            "css": decoder.name,
            "model": model(decoder) if kind == "scores" else (),
            "cells": [_cell(decoder.metrics[part], key, decoder.name in best[key]) for key in keys],
        }
        for decoder in decoders
    ]
    for prefix, label in BASELINES.items():
        values = [decoders[0].metrics[part].get(prefix + key) for key in keys]
        if any(value is not None for value in values):
            cells = [
                {"text": "" if value is None else number(value, metric(key).form), "best": False, "range": ""}
                for key, value in zip(keys, values, strict=True)
            ]
            rows.append(
                {"name": label, "css": "", "model": ("", "") if kind == "scores" else (), "cells": cells}
            )
    return {
        "title": TABLES[kind],
        "model": kind == "scores",
        "heads": [metric(key) for key in keys],
        "rows": rows,
    }


def model(decoder: Decoder) -> tuple[str, str]:
    """Say what stands beside a decoder's scores: its parameters and the epoch that is kept, of how many."""
    summary = decoder.summary
    epochs = f"{number(summary['best_epoch'], 'count')} of {number(summary['epochs'], 'count')}"
    return number(summary["parameters"], "count"), epochs


def search(params: Mapping[str, Any]) -> str:
    """Say how captions were searched for, by the settings; empty where they do not.

    >>> search({"evaluate": {"decoding": {"search": "beam", "beam_width": 3, "length_normalisation": 0.7}}})
    'beam search, beam width 3, length normalisation 0.7'
    """
    decoding = params.get("evaluate", {}).get("decoding")
    if not decoding:
        return ""
    kind = decoding["search"]
    options = [f"{key.replace('_', ' ')} {decoding[key]}" for key in SEARCH_SETTINGS.get(kind, ())]
    return ", ".join([SEARCHES.get(kind, f"{kind.replace('_', ' ')} search"), *options])


def _best(decoders: list[Decoder], part: str, key: str, seed: int) -> set[str]:
    """Return the decoders whose numbers read like the best one, or that no test tells apart from it."""
    better, form = metric(key).better, metric(key).form
    values = {own.name: float(own.metrics[part][key]) for own in decoders if key in own.metrics[part]}
    if better is None or len(decoders) < 2:
        return set()
    best = max(values.values()) if better == "higher" else min(values.values())
    alike = {decoder for decoder, value in values.items() if number(value, form) == number(best, form)}
    if key in TESTED and _has_all(decoders, part, key):
        alike |= {decoder.name for decoder in leaders(decoders, part, key, seed)[0]}
    return alike


def _has_all(decoders: list[Decoder], part: str, key: str) -> bool:
    return all(key in decoder.metrics[part] for decoder in decoders)


def _cell(metrics: dict[str, Any], key: str, is_best: bool) -> dict[str, Any]:
    form = metric(key).form
    bounds = metrics.get("interval", {}).get(key)
    span = f"95 % interval {number(bounds['low'], form)} to {number(bounds['high'], form)}" if bounds else ""
    return {"text": number(metrics.get(key), form), "best": is_best, "range": span}


def _bars(decoders: list[Decoder], part: str, key: str) -> dict[str, Any] | None:
    """Draw bars of one metric with their intervals; floor and ceiling as marks across them."""
    if not any(key in decoder.metrics[part] for decoder in decoders):
        return None
    form = metric(key).form
    first = decoders[0].metrics[part]
    marks = [
        (css, label, float(first[prefix + key]))
        for css, (prefix, label) in zip(("floor", "ceiling"), BASELINES.items(), strict=True)
        if prefix + key in first
    ]
    spans = [decoder.metrics[part].get("interval", {}).get(key) for decoder in decoders]
    values = [float(decoder.metrics[part].get(key, 0)) for decoder in decoders]
    largest = max([*values, *(value for _, _, value in marks), *(span["high"] for span in spans if span)])
    full = 1.0 if form == "percent" else (largest * 1.04 or 1.0)

    def percent(value: float) -> str:
        return f"{100 * value / full:.2f}"

    return {
        "metric": metric(key),
        "rows": [
            {
                "name": name(decoder.name),
                "css": decoder.name,
                "text": number(value, form),
                "width": percent(value),
                "span": (percent(span["low"]), percent(span["high"] - span["low"])) if span else None,
            }
            for decoder, value, span in zip(decoders, values, spans, strict=True)
        ],
        "marks": [
            {"css": css, "label": label, "left": percent(value), "text": number(value, form)}
            for css, label, value in marks
        ],
    }


def difference(first: Decoder, second: Decoder, part: str, key: str, seed: int) -> PairedDifference:
    """Return the first decoder's scores of a part less the second's, image by image."""
    ours, theirs = (
        np.array([row[key] for row in decoder.per_image if row["part"] == part])
        for decoder in (first, second)
    )
    return paired_difference(ours, theirs, RESAMPLES, np.random.default_rng(seed))


def leaders(decoders: list[Decoder], part: str, key: str, seed: int) -> tuple[list[Decoder], float | None]:
    """Return the decoder with the highest score and those that no test tells apart from it, highest first.

    With them the smallest of their p, None where nobody ties.
    """
    ranked = sorted(decoders, key=lambda decoder: -float(decoder.metrics[part][key]))
    chances = {other.name: difference(ranked[0], other, part, key, seed).p_value for other in ranked[1:]}
    ties = [other for other in ranked[1:] if chances[other.name] > LARGEST_CHANCE]
    return [ranked[0], *ties], min((chances[other.name] for other in ties), default=None)


def differences(decoders: list[Decoder], part: str, seed: int) -> dict[str, Any] | None:
    """Return the differences of decoders on the same images, metric by metric; None for a single decoder."""
    scores = [[row for row in decoder.per_image if row["part"] == part] for decoder in decoders]
    keys = [key for key in BARS if all(key in row for own in scores for row in own)]
    rows = []
    for first, second in combinations(range(len(decoders)), 2):
        cells = []
        for key in keys:
            found = difference(decoders[first], decoders[second], part, key, seed)
            cells.append(tested(found.mean, found.low, found.high, found.p_value, metric(key).form))
        names = [(name(decoders[index].name), decoders[index].name) for index in (first, second)]
        rows.append({"names": names, "cells": cells})
    return {"heads": [metric(key) for key in keys], "rows": rows} if rows and keys else None


def _failed_claims(decoders: list[Decoder], part: str) -> dict[str, Any] | None:
    """Return the share of claims that fails by kind, the worst first, with bars relative to the largest."""
    shares = [decoder.metrics[part].get("failed_claims", {}) for decoder in decoders]
    kinds = sorted({kind for own in shares for kind in own})
    if not kinds:
        return None
    kinds.sort(key=lambda kind: -max(own.get(kind, 0) for own in shares))
    largest = max(share for own in shares for share in own.values()) or 1
    return {
        "heads": [(name(decoder.name), decoder.name) for decoder in decoders],
        "rows": [
            {
                "kind": name(kind),
                "cells": [
                    {
                        "text": number(own.get(kind), "percent"),
                        "width": f"{100 * own.get(kind, 0) / largest:.2f}",
                    }
                    for own in shares
                ],
            }
            for kind in kinds
        ],
    }

"""The scores under several seeds: what `recap seeds` found, where it is of this pipeline."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from recap.report.inputs import Decoder
from recap.report.labels import LARGEST_CHANCE, chance, metric, name, number, signed

ROWS = ("truth", "claims_per_caption", "cider_d")


def build(summary: Mapping[str, Any], decoders: Sequence[Decoder]) -> dict[str, Any] | None:
    """Return of each part the means with spreads, and a table of differences.

    None where the first seed's scores are not those of the page, or no other seed follows.

    Args:
        summary: "runs"; "values" by decoder, part and metric, one a run; "tests" of pairs of decoders.
        decoders: those of the page.
    """
    values = summary.get("values", {})
    first = {
        decoder: {part: {key: own[0] for key, own in of_part.items()} for part, of_part in parts.items()}
        for decoder, parts in values.items()
    }
    shown = {
        own.name: {
            part: {key: own.metrics.get(part, {}).get(key) for key in of_part}
            for part, of_part in first.get(own.name, {}).items()
        }
        for own in decoders
    }
    if first != shown or len(summary["runs"]) == 1:
        return None
    parts = next(iter(first.values()))
    return {
        "count": len(summary["runs"]),
        "heads": [(own.name, name(own.name)) for own in decoders],
        "parts": [
            {
                "title": name(part),
                "rows": [
                    (metric(key), [_spread(values[own.name][part][key], key) for own in decoders])
                    for key in ROWS
                    if key in keys
                ],
                "differences": _differences(summary["tests"], part),
            }
            for part, keys in parts.items()
        ],
    }


def _spread(values: Sequence[float], key: str) -> str:
    form = metric(key).form
    return f"{number(fmean(values), form)} ± {number(stdev(values), form)}"


def _differences(tests: Sequence[Mapping[str, Any]], part: str) -> dict[str, Any] | None:
    """The tests of a part, a row a pair, as the table of one run's differences has them."""
    own = [test for test in tests if test["part"] == part]
    keys = [key for key in ROWS if any(test["metric"] == key for test in own)]
    found = {(test["first"], test["second"], test["metric"]): test for test in own}
    pairs = list(dict.fromkeys((test["first"], test["second"]) for test in own))
    rows = [
        {
            "names": [(name(decoder), decoder) for decoder in pair],
            "cells": [_cell(found[*pair, key], metric(key).form) for key in keys],
        }
        for pair in pairs
    ]
    return {"heads": [metric(key) for key in keys], "rows": rows} if rows else None


def _cell(test: Mapping[str, Any], form: str) -> dict[str, Any]:
    return {
        "text": signed(test["mean"], form),
        "range": f"{signed(test['low'], form)} to {signed(test['high'], form)}",
        "p": chance(test["p_holm"]),
        "certain": test["p_holm"] <= LARGEST_CHANCE,
    }

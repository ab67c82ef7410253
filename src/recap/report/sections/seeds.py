"""The scores under several seeds: what `recap seeds` found, where it is of this pipeline."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from recap.report.inputs import Decoder
from recap.report.labels import metric, name, number, tested

ROWS = ("truth", "claims_per_caption", "cider_d")


def build(summary: Mapping[str, Any], decoders: Sequence[Decoder]) -> dict[str, Any] | None:
    """Return of each part the means with spreads, and a table of differences.

    None where the first seed's scores are not those of the page, or no other seed follows.

    Args:
        summary: "runs"; "values" by decoder, part and metric, one a run; "tests" of pairs of decoders.
        decoders: those of the page.
    """
    values, metrics = summary.get("values", {}), {own.name: own.metrics for own in decoders}
    if values.keys() != metrics.keys() or len(summary["runs"]) == 1:
        return None
    for decoder, parts in values.items():
        for part, keys in parts.items():
            if any(own[0] != metrics[decoder].get(part, {}).get(key) for key, own in keys.items()):
                return None
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
            for part, keys in values[decoders[0].name].items()
        ],
    }


def _spread(values: Sequence[float], key: str) -> str:
    form = metric(key).form
    return f"{number(fmean(values), form)} ± {number(stdev(values), form)}"


def _differences(tests: Sequence[Mapping[str, Any]], part: str) -> dict[str, Any] | None:
    """Return the tests of a part, a row for each pair, as the table of one run's differences has them."""
    found = {(test["first"], test["second"], test["metric"]): test for test in tests if test["part"] == part}
    keys = [key for key in ROWS if any(key in of for of in found)]
    pairs = list(dict.fromkeys(of[:2] for of in found))
    rows = [
        {
            "names": [(name(decoder), decoder) for decoder in pair],
            "cells": [
                tested(own["mean"], own["low"], own["high"], own["p_holm"], metric(key).form)
                for key in keys
                for own in [found[*pair, key]]
            ],
        }
        for pair in pairs
    ]
    return {"heads": [metric(key) for key in keys], "rows": rows} if rows else None

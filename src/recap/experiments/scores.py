"""The scores of several runs of a pipeline: mean and spread over runs, paired tests between decoders.

A table's every cell is of the runs that stand under it, by the names that they have in DVC and MLflow.
"""

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recap.metrics.files.tables import Style, format_rows
from recap.metrics.resampling import paired_difference
from recap.metrics.systems import holm
from recap.report.labels import NAMES
from recap.tracking.views import MAIN_PARTS
from recap.workspace.pipeline import Pipeline

RESAMPLES = 10_000
ROWS = (
    ("cider_d", "CIDEr-D", "{:.2f}", 1),
    ("truth", "captions true in every claim", "{:.0f} %", 100),
    ("claims_per_caption", "claims a caption", "{:.1f}", 1),
)
"""A metric, its row in the table, how a number is written, and what it is multiplied with."""
TESTED = ("cider_d", "truth")
PARTS = {"seen": "test scenes with seen combinations", "unseen": "test scenes with unseen combinations"}


@dataclass(frozen=True)
class Scores:
    """The scores of one run."""

    run: str  # its name in DVC and MLflow
    metrics: dict[str, dict[str, dict[str, float]]]  # decoder -> part of the test images -> metric
    per_image: dict[str, dict[str, dict[str, list[float]]]]  # decoder -> part -> metric -> of each image


def read_scores(run: str, pipeline: Pipeline) -> Scores:
    """Read the scores of a run's decoders from the outputs that its dvc.lock names.

    dvc.lock keeps entries of decoders that dvc.yaml names no more, which did not run: they are left out.
    """
    metrics: dict[str, Any] = {}
    per_image: dict[str, Any] = {}
    for path, md5 in sorted(pipeline.outputs.files(["reports/decoders"]).items()):
        decoder, name = path.split("/")[2:4]
        if f"reports/decoders/{decoder}/metrics.json" not in pipeline.metrics:
            continue
        if name == "metrics.json":
            parts = json.loads(pipeline.outputs.content(path, md5))
            wanted = ("constant_cider_d", *(key for key, *_ in ROWS))
            metrics[decoder] = {
                part: {key: own[key] for key in wanted if key in own}
                for part, own in parts.items()
                if isinstance(own, dict)
            }
        elif name == "per_image.json":
            own = per_image.setdefault(decoder, {})
            for row in json.loads(pipeline.outputs.content(path, md5)):
                for key in TESTED:
                    if key in row:
                        own.setdefault(row["part"], {}).setdefault(key, []).append(row[key])
    order = sorted(metrics, key=lambda name: [*NAMES, name].index(name))
    return Scores(run, {name: metrics[name] for name in order}, per_image)


def summarize(runs: Sequence[Scores]) -> dict[str, Any]:
    """Mean and standard deviation over runs, and every pair of decoders, as a JSON object.

    A pair's test is on the images: the scores of an image are averaged over the runs, and the signs of the
    images' differences flipped. Its p is corrected for the number of pairs (Holm 1979). The standard error
    is that of the differences run by run.
    """
    first = runs[0].metrics
    values = {
        decoder: {
            part: {key: [run.metrics[decoder][part][key] for run in runs] for key in own}
            for part, own in parts.items()
        }
        for decoder, parts in first.items()
    }
    tests = []
    for part, key in itertools.product(next(iter(first.values())), TESTED):
        able = [name for name in first if key in runs[0].per_image.get(name, {}).get(part, {})]
        found = []
        for one, other in itertools.combinations(able, 2):
            ours, theirs = (
                np.array([run.per_image[name][part][key] for run in runs]) for name in (one, other)
            )
            result = paired_difference(
                ours.mean(axis=0), theirs.mean(axis=0), RESAMPLES, np.random.default_rng(0)
            )
            by_run = [float(own.mean() - their.mean()) for own, their in zip(ours, theirs, strict=True)]
            error = statistics.stdev(by_run) / len(runs) ** 0.5 if len(runs) > 1 else None
            names = {"part": part, "metric": key, "first": one, "second": other}
            found.append(names | asdict(result) | {"standard_error": error})
        corrected = holm([pair["p_value"] for pair in found])
        tests += [pair | {"p_holm": p} for pair, p in zip(found, corrected, strict=True)]
    return {"runs": [run.run for run in runs], "values": values, "tests": tests}


def format_scores(summary: Mapping[str, Any], style: Style) -> str:
    """Return means with spreads, then the runs one by one, then the tests, as tables."""
    runs = summary["runs"]
    mark = "% " if style == "latex" else ""
    meaning = (
        f"the mean of the runs {', '.join(runs)}, ± their standard deviation"
        if len(runs) > 1
        else f"the run {runs[0]}"
    )
    tables = [format_rows(means(summary), style), f"{mark}Every cell: {meaning}."]
    if len(runs) > 1:
        tables.append(format_rows(_run_by_run(summary), style))
    if summary["tests"]:
        tables.append(format_rows(_differences(summary), style))
        tables.append(
            f"{mark}Of the same runs. p: paired sign-flip test on images, whose scores are averaged over "
            "runs; p(Holm) corrected for the number of pairs."
        )
    return "\n\n".join(tables)


def means(summary: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of the table of means."""
    values = summary["values"]
    decoders = list(values)
    rows = [["", *(NAMES.get(name, name) for name in decoders), "best constant caption"]]
    for part, own in values[decoders[0]].items():
        for key, label, form, factor in ROWS:
            if key in own:
                cells = [_cell(values[name][part][key], form, factor) for name in decoders]
                constant = own.get("constant_cider_d") if key == "cider_d" else None
                rows.append([_label(label, part), *cells, _cell(constant, form, factor) if constant else ""])
    return rows


def _run_by_run(summary: Mapping[str, Any]) -> list[list[str]]:
    values = summary["values"]
    parts = next(iter(values.values()))
    part = next((own for own in MAIN_PARTS if own in parts), next(iter(parts)))
    keys = [row for row in ROWS if row[0] in TESTED and row[0] in parts[part]]
    head = [f"{label}, {NAMES.get(decoder, decoder)}" for _, label, _, _ in keys for decoder in values]
    rows = [[f"run ({PARTS.get(part, part)})", *head]]
    for place, run in enumerate(summary["runs"]):
        cells = [
            form.format(factor * values[decoder][part][key][place])
            for key, _, form, factor in keys
            for decoder in values
        ]
        rows.append([run, *cells])
    return rows


def _differences(summary: Mapping[str, Any]) -> list[list[str]]:
    labels = {key: label for key, label, _, _ in ROWS}
    rows = [["", "", "difference", "standard error over runs", "95 % interval over images", "p", "p(Holm)"]]
    for own in summary["tests"]:
        error = own["standard_error"]
        what = _label(labels[own["metric"]], own["part"])
        pair = " - ".join(NAMES.get(own[key], own[key]) for key in ("first", "second"))
        spread = "" if error is None else f"{error:.3f}"
        span = f"{own['low']:+.3f} .. {own['high']:+.3f}"
        chances = (f"{own['p_value']:.4f}", f"{own['p_holm']:.4f}")
        rows.append([what, pair, f"{own['mean']:+.3f}", spread, span, *chances])
    return rows


def _label(label: str, part: str) -> str:
    return f"{label}, {PARTS.get(part, part)}"


def _cell(values: Sequence[float], form: str, factor: float) -> str:
    middle = form.format(factor * statistics.mean(values))
    if len(values) < 2 or len(set(values)) == 1:
        return middle
    number, _, unit = middle.partition(" ")
    deviation = form.format(factor * statistics.stdev(values)).partition(" ")[0]
    return f"{number} ± {deviation}{' ' if unit else ''}{unit}"

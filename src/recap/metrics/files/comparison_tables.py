"""Tables of what ``score_files`` says, for a page or a paper: text, Markdown, LaTeX, CSV."""

from collections.abc import Mapping
from textwrap import shorten
from typing import Any

from recap.metrics.files.tables import Style, format_rows

ROWS = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
    "clip_score": "CLIPScore",
    "ref_clip_score": "RefCLIPScore",
    "constant_cider_d": "  best constant caption",
    "human_cider_d": "  people, leave one out",
    "length": "words a caption",
    "vocabulary": "different words",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "novel": "novel captions",
}
"""What the table shows: the key of a metric and its name."""
CORRECTED = "p by a paired permutation test, p(Holm) corrected for the number of pairs of a metric"


def format_scores(summary: Mapping[str, Any], style: Style) -> str:
    """Write the scores of one captioner, or of several with their differences."""
    if "systems" not in summary:
        return _one(summary, style)
    if style == "csv":
        return _csv(summary)
    systems = summary["systems"]
    metrics = list(systems[0]["metrics"])
    scores = [["", *(ROWS[metric] for metric in metrics)]]
    for system in systems:
        scores.append([system["name"], *(_spread(system["metrics"][metric]) for metric in metrics)])
        if "best" in system:
            best = (f"{system['best'][metric]:.4f}" if metric in system["best"] else "" for metric in metrics)
            scores.append([f"{system['name']}, best candidate", *best])
    differences = [["", "", "difference", "95 % interval", "p", "p(Holm)"]]
    differences += [
        [
            *(ROWS[found["metric"]], f"{found['first']} - {found['second']}"),
            *(f"{found['difference']:+.4f}", f"{found['low']:+.4f} .. {found['high']:+.4f}"),
            *(f"{found['p_value']:.4f}", f"{found['p_holm']:.4f}"),
        ]
        for found in summary["comparisons"]
    ]
    tables = [scores, differences] if summary["comparisons"] else [scores]
    notes = [*_notes(summary), *([CORRECTED] if summary["comparisons"] else [])]
    return _written(tables, notes, style)


def _one(summary: Mapping[str, Any], style: Style) -> str:
    rows = [["", "score", "95 % interval"]]
    for key, name in ROWS.items():
        if (value := summary.get(key)) is not None:
            bounds = summary["interval"].get(key)
            spread = f"{bounds['low']:.4f} .. {bounds['high']:.4f}" if bounds else ""
            rows.append([name, f"{value:d}" if isinstance(value, int) else f"{value:.4f}", spread])
    if style == "csv":
        return format_rows(rows, style)
    notes = _notes(summary)
    if "constant_caption" in summary:
        constant = shorten(summary["constant_caption"], 200, placeholder=" ...")
        notes = [f"best constant caption: {constant!r}", *notes]
    return _written([rows], notes, style)


def _written(tables: list[list[list[str]]], notes: list[str], style: Style) -> str:
    mark = "% " if style == "latex" else ""
    written = [format_rows(rows, style) for rows in tables]
    return "\n\n".join([*written, "\n".join(f"{mark}{note}" for note in notes)])


def _spread(found: Mapping[str, float]) -> str:
    return f"{found['value']:.4f} ({found['low']:.4f} .. {found['high']:.4f})"


def _csv(summary: Mapping[str, Any]) -> str:
    """Return a row for each number: scores, best candidates, then differences, which fill ``against``."""
    rows: list[list[Any]] = [["system", "against", "metric", "value", "low", "high", "p_value", "p_holm"]]
    for system in summary["systems"]:
        for metric, found in system["metrics"].items():
            rows.append([system["name"], "", metric, found["value"], found["low"], found["high"], "", ""])
        for metric, value in system.get("best", {}).items():
            rows.append([system["name"], "", f"best_{metric}", value, "", "", "", ""])
    keys = ("first", "second", "metric", "difference", "low", "high", "p_value", "p_holm")
    rows += [[found[key] for key in keys] for found in summary["comparisons"]]
    return format_rows(rows, "csv")


def _notes(summary: Mapping[str, Any]) -> list[str]:
    """Say what the scores come from."""
    lines = [
        f"{summary['images']} images, {summary['references']} references; idf of CIDEr-D (COCO's CIDEr): "
        f"{summary['idf']}; tokenizer {summary['tokenizer']}"
    ]
    if summary["images_without_captions"]:
        lines.append(f"left out, without captions: {summary['images_without_captions']} images")
    if summary["images_without_results"]:
        lines.append(f"left out, without a caption to score: {summary['images_without_results']} images")
    if "note" in summary:
        lines.append(summary["note"])
    return lines

"""The stage's work: files written, tables for `dvc plots`."""

import csv
from pathlib import Path

from recap.core import paths
from recap.report.config import ReportConfig
from recap.report.report import report

CONFIG = ReportConfig(gallery_images=3, seed=0)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_writes_the_page_and_the_tables(outputs) -> None:
    root = outputs(decoders=["lstm", "rnn"])
    report(root, ["lstm", "rnn"], CONFIG, {}, lambda urls: {})
    assert (root / paths.PAGE).read_text().startswith("<!DOCTYPE html>")
    losses = rows(root / paths.PLOTS / "losses.csv")
    assert len(losses) == 2 * 2 * 8
    assert losses[0] == {"decoder": "lstm", "split": "training", "epoch": "1", "loss": "4.0"}
    scores = rows(root / paths.PLOTS / "scores.csv")
    assert [(row["decoder"], row["part"]) for row in scores] == [
        ("lstm", "seen"),
        ("lstm", "unseen"),
        ("rnn", "seen"),
        ("rnn", "unseen"),
    ]
    assert {row["cider_d"] for row in scores} == {"1.25", "2.25"}
    assert scores[0]["perplexity"] == "2.5"
    assert all(cell for row in scores for cell in row.values())

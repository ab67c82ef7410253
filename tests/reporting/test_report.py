"""The stage's work: files written, tables for `dvc plots`, leftovers removed."""

import csv
from pathlib import Path

from recap.reporting.config import ReportConfig
from recap.reporting.inputs import Folders
from recap.reporting.report import remove_leftovers, report

CONFIG = ReportConfig(gallery_images=3, extreme_images=1, seed=0)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_writes_the_page_and_the_tables(outputs, tmp_path: Path) -> None:
    folders: Folders = outputs(decoders=["lstm", "rnn"])
    report(folders, tmp_path / "index.html", tmp_path / "plots", ["lstm", "rnn"], CONFIG, {})
    assert (tmp_path / "index.html").read_text().startswith("<!DOCTYPE html>")
    losses = rows(tmp_path / "plots" / "losses.csv")
    assert len(losses) == 2 * 2 * 8
    assert losses[0] == {"decoder": "lstm", "split": "training", "epoch": "1", "loss": "4.0"}
    scores = rows(tmp_path / "plots" / "scores.csv")
    assert [(row["decoder"], row["part"]) for row in scores] == [
        ("lstm", "seen"),
        ("lstm", "unseen"),
        ("rnn", "seen"),
        ("rnn", "unseen"),
    ]
    assert {row["cider_d"] for row in scores} == {"1.25", "2.25"}
    assert scores[0]["perplexity"] == "2.5"
    assert all(cell for row in scores for cell in row.values())


def test_leftovers_of_other_decoders_go_and_nothing_else(outputs) -> None:
    folders: Folders = outputs()
    (folders.models / "backbone" / "backbone.json").write_text("{}")
    (folders.models / "transformer" / "model.json").unlink()
    assert remove_leftovers(folders.models, folders.decoders, ["lstm"]) == ["rnn", "transformer"]
    assert sorted(path.name for path in folders.models.iterdir()) == ["backbone", "lstm"]
    assert [path.name for path in folders.decoders.iterdir()] == ["lstm"]
    assert remove_leftovers(folders.models, folders.decoders, ["lstm"]) == []


def test_no_leftovers_before_anything_was_made(tmp_path: Path) -> None:
    assert remove_leftovers(tmp_path / "models", tmp_path / "reports", ["lstm"]) == []

"""Outputs of decoders that are no longer trained go; what is the user's stays."""

from pathlib import Path

import pytest

from recap.workspace.leftovers import MODEL_FILES, REPORT_FILES, remove_leftovers


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Models and reports of three decoders, and the user's own things beside them."""
    models, reports = tmp_path / "models", tmp_path / "reports"
    for name in ("rnn", "lstm", "transformer", "lstm-best"):
        for folder, files in ((models / name, MODEL_FILES), (reports / name, REPORT_FILES)):
            folder.mkdir(parents=True)
            for file in files:
                (folder / file).write_text(name)
    (models / "backbone").mkdir()
    (models / "backbone" / "model.json").write_text("a backbone")
    (models / "model.json").write_text("a file")
    (reports / "notes").mkdir()
    (reports / "rnn" / "notes.md").write_text("my notes")
    return models, reports


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_outputs_of_other_decoders_go_and_nothing_else(folders: tuple[Path, Path]) -> None:
    models, reports = folders
    before = files(models), files(reports)
    assert remove_leftovers(models, reports, ["lstm"]) == ["rnn", "transformer"]
    gone = {f"{name}/{file}" for name in ("rnn", "transformer") for file in MODEL_FILES}
    assert files(models) == before[0] - gone
    gone = {f"{name}/{file}" for name in ("rnn", "transformer") for file in REPORT_FILES}
    assert files(reports) == before[1] - gone
    assert {path.name for path in models.iterdir()} == {"backbone", "lstm", "lstm-best", "model.json"}
    assert {path.name for path in reports.iterdir()} == {"lstm", "lstm-best", "notes", "rnn"}
    assert remove_leftovers(models, reports, ["lstm"]) == []


def test_decoders_that_are_trained_stay(folders: tuple[Path, Path]) -> None:
    models, reports = folders
    before = files(models), files(reports)
    assert remove_leftovers(models, reports, ["transformer", "rnn", "lstm"]) == []
    assert (files(models), files(reports)) == before


def test_no_leftovers_before_anything_was_made(tmp_path: Path) -> None:
    assert remove_leftovers(tmp_path / "models", tmp_path / "reports", ["lstm"]) == []

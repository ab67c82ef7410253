"""The journal of a stage on a disk that is full for a moment, and with lines that are none."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from recap.decoders.config import RecurrentConfig
from recap.report.config import ReportConfig
from recap.tracking.stage import Run, start
from recap.workspace.journal import Journal, JournalWriter, journals


@pytest.fixture
def writer(small_disk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> JournalWriter:
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    return JournalWriter(small_disk, "train/lstm", {}, {})


def events(writer: JournalWriter) -> list[dict[str, Any]]:
    return list(Journal(writer.path).events())


def test_a_line_cut_by_a_full_disk_blocks_none_after_it(
    writer: JournalWriter, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(writer, {})
    run.log_metrics({"loss": 3.0}, 1)
    filling = small_disk / "filling"
    with open(filling, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    for step in range(2, 200):  # until the last page of the journal is full too
        run.log_metrics({"loss": 2.0, "note": 1.0}, step)
    taken = len(events(writer))
    assert 0 < taken < 199
    filling.unlink()
    run.log_metrics({"loss": 1.0}, 200)
    run.close("FINISHED")
    after = events(writer)
    assert [event.get("step") for event in after[taken:]] == [200, None]
    assert after[-1]["end"] == "FINISHED"
    assert capsys.readouterr().err.count("\n") == 1


def test_lines_that_are_no_events_are_passed_over(writer: JournalWriter) -> None:
    writer.write(metrics={"loss": 1.0}, step=1)
    with open(writer.path, "ab") as file:
        file.write(b'{"metrics": {"lo\n[1, 2]\n\xff\xfe\n\n')
    writer.write(end="FINISHED", reason="")
    assert [sorted(event) for event in events(writer)] == [
        ["metrics", "moment", "step"],
        ["end", "moment", "reason"],
    ]


def test_a_journal_tells_whether_its_stage_lives(writer: JournalWriter, small_disk: Path) -> None:
    (journal,) = journals(small_disk)
    assert journal.is_alive()
    writer.write(end="FAILED", reason="why")
    assert not journal.is_alive()
    assert [event["reason"] for event in journal.events()] == ["why"]


def test_what_is_no_journal_is_left_alone(writer: JournalWriter, small_disk: Path) -> None:
    folder = writer.path.parent
    (folder / "0.jsonl").write_text('{"of": "another version"}\n')
    (folder / "1.jsonl").write_text("")
    (folder / f".{writer.path.stem}").write_text("half a start")
    assert [journal.path for journal in journals(small_disk)] == [writer.path]
    writer.write(end="FINISHED", reason="")


def test_settings_have_the_names_that_params_yaml_gives_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "RECAP_TRACKING", "RANK"):
        monkeypatch.delenv(name, raising=False)
    decoder = RecurrentConfig(wordvec_dim=8, hidden_dim=4, dropout=0.5, learning_rate=0.1, epochs=2)
    page = ReportConfig(**dict.fromkeys(ReportConfig.__dataclass_fields__, 7))
    with start("train/lstm", page, {"decoders.lstm": decoder}):
        (journal,) = journals(tmp_path)
    settings = journal.start.settings
    assert settings["decoders.lstm.hidden_dim"] == 4
    assert {name.partition(".")[0] for name in settings} == {"decoders", "report"}

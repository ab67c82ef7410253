"""The journal on a disk that is full for a moment, and names with quotes in MLflow's searches."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from recap.tracking.journal import Journal, JournalWriter
from recap.tracking.lookup import open_store
from recap.tracking.run import JournalRun
from recap.tracking.store import EXPERIMENT_NAME_TAG, equals


@pytest.fixture
def writer(small_disk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> JournalWriter:
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    return JournalWriter(small_disk / "queue", "train/lstm", {}, {})


def events(writer: JournalWriter) -> list[dict[str, Any]]:
    return Journal(writer.folder).new_events()[0]


def test_a_line_cut_by_a_full_disk_blocks_none_after_it(
    writer: JournalWriter, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = JournalRun(writer, {})
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
    with open(writer.folder / "events.jsonl", "ab") as file:
        file.write(b'{"metrics": {"lo\n[1, 2]\n\xff\xfe\n\n')
    writer.close("FINISHED", "")
    assert [sorted(event) for event in events(writer)] == [
        ["metrics", "moment", "step"],
        ["end", "moment", "reason"],
    ]
    assert Journal(writer.folder).new_events()[1] == (writer.folder / "events.jsonl").stat().st_size


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own
def test_names_with_quotes_are_found(tmp_path: Path) -> None:
    store = open_store({"DVC_ROOT": str(tmp_path)})
    names = ["bob's", 'the "best"', 'bob\'s "best"', "plain"]
    for name in names:
        store.client.create_run(store.experiment, tags={EXPERIMENT_NAME_TAG: name})
    for name in names:
        (run,) = store.search(equals(EXPERIMENT_NAME_TAG, name))
        assert run.data.tags[EXPERIMENT_NAME_TAG] == name

"""Metrics beside those of a git revision."""

import json
import shutil
from pathlib import Path

import pytest
from tests.small_pipeline import git

from recap.errors import InputError
from recap.proof.metrics import MetricChange, metric_changes

LSTM = "reports/lstm/metrics.json"


def test_what_was_not_touched_does_not_differ(finished_run: Path) -> None:
    assert metric_changes(finished_run, "HEAD") == []


def test_what_differs_is_told_with_both_values(finished_run: Path) -> None:
    (finished_run / LSTM).write_text(json.dumps({"seen": {"cider_d": 1.25, "truth": 0.5}, "name": "b"}))
    (finished_run / "reports/rnn/metrics.json").unlink()
    (finished_run / "reports/new").mkdir()
    (finished_run / "reports/new/metrics.json").write_text('{"count": 3}')
    (finished_run / "reports/new/other.json").write_text("no metrics")
    changes = metric_changes(finished_run, "HEAD")
    assert changes == [
        MetricChange(f"{LSTM}:name", None, "b"),
        MetricChange(f"{LSTM}:seen.cider_d", 1.0, 1.25),
        MetricChange(f"{LSTM}:seen.passed", True, None),
        MetricChange(f"{LSTM}:seen.truth", None, 0.5),
        MetricChange("reports/new/metrics.json:count", None, 3),
        MetricChange("reports/rnn/metrics.json:seen.cider_d", 1.0, None),
        MetricChange("reports/rnn/metrics.json:seen.passed", True, None),
    ]
    assert [change.difference for change in changes] == [None, 0.25, *[None] * 5]


def test_the_smallest_difference_counts(finished_run: Path) -> None:
    (finished_run / LSTM).write_text(json.dumps({"seen": {"cider_d": 1.0000000000000002, "passed": True}}))
    assert [change.path for change in metric_changes(finished_run, "HEAD")] == [f"{LSTM}:seen.cider_d"]


def test_a_checkout_inside_a_larger_repository_reads_its_own(finished_run: Path) -> None:
    inner = finished_run / "inner"
    shutil.copytree(finished_run / "reports", inner / "reports")
    git(finished_run, "add", "--all", "--force")
    git(finished_run, "commit", "--quiet", "-m", "Inner")
    (inner / LSTM).write_text("{}")
    assert {change.path for change in metric_changes(inner, "HEAD")} == {
        f"{LSTM}:seen.cider_d", f"{LSTM}:seen.passed"
    }  # fmt: skip


@pytest.mark.parametrize("revision", ["no-such", "", "--output=x", "HEAD:dvc.yaml"])
def test_an_unknown_revision_is_refused_in_one_line(finished_run: Path, revision: str) -> None:
    with pytest.raises(InputError, match="--base: expected a revision that git knows, received") as caught:
        metric_changes(finished_run, revision)
    assert "\n" not in str(caught.value)


def test_without_git_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="not a git repository"):
        metric_changes(tmp_path, "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="expected the program on PATH"):
        metric_changes(tmp_path, "HEAD")


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000])
def test_a_broken_file_on_either_side_is_named(finished_run: Path, text: str) -> None:
    (finished_run / LSTM).write_text(text)
    with pytest.raises(InputError, match=f"^{LSTM}: expected metrics as a JSON object"):
        metric_changes(finished_run, "HEAD")
    git(finished_run, "commit", "--quiet", "--all", "-m", "Broken")
    (finished_run / LSTM).write_text("{}")
    with pytest.raises(InputError, match=f"^HEAD:{LSTM}: expected metrics as a JSON object"):
        metric_changes(finished_run, "HEAD")

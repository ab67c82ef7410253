"""Pipelines in MLflow, for every way in which DVC runs, skips or restores a stage."""

import getpass
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
EXPERIMENTS = int(os.environ.get("RECAP_TEST_EXPERIMENTS", "4"))
STAGES = ("fetch", "train/lstm", "train/rnn", "evaluate/lstm", "evaluate/rnn", "report")


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, make_checkout: Callable[[Path], Any]) -> Any:
    """A checkout whose pipeline has run once, with its lock committed."""
    checkout = make_checkout(tmp_path_factory.mktemp("parents") / "check out")
    checkout.dvc("repro")
    checkout.sync()
    checkout.commit()
    return checkout


@pytest.fixture
def checkout(first_run: Any, tmp_path: Path) -> Any:
    """A copy of it, with its own store."""
    shutil.copytree(first_run.root, tmp_path / "copy", symlinks=True)
    return type(first_run)(tmp_path / "copy", dict(first_run.environment))


def assert_whole(checkout: Any, parent: Any, reused: set[str]) -> None:
    """Every stage has one finished child, and the named ones are reused."""
    children = checkout.runs().children(parent)
    assert set(children) == set(STAGES)
    assert {name for name, runs in children.items() if "recap.reused" in runs[0].data.tags} == reused
    assert {run.info.status for runs in children.values() for run in runs} == {"FINISHED"}
    assert [len(runs) for runs in children.values()] == [1] * len(STAGES)
    assert parent.info.status == "FINISHED"
    assert {"lstm.cider_d", "rnn.cider_d"} <= set(parent.data.metrics)


def numbers(run: Any) -> dict[str, float]:
    """A run's metrics, without those of the process that made it."""
    return {name: own for name, own in run.data.metrics.items() if not name.startswith("system/")}


def assert_sync_changes_nothing(checkout: Any) -> None:
    before = {run.info.run_id: run.to_dictionary() for run in checkout.runs().all}
    assert checkout.sync().stdout == ""
    assert {run.info.run_id: run.to_dictionary() for run in checkout.runs().all} == before


def test_a_whole_run_is_one_parent_with_a_child_a_stage(first_run: Any) -> None:
    found = first_run.runs()
    (parent,) = found.parents
    assert_whole(first_run, parent, set())
    assert parent.data.params == {
        "data.rows": "8",
        "train.decoders": "['lstm', 'rnn']",
        "train.rate": "0.001",
        "train.lstm.width": "2",
        "train.rnn.width": "3",
    }
    assert parent.data.metrics["lstm.cider_d"] == 0.2
    assert parent.data.metrics["train.lstm.loss"] == 0.4
    (run,) = found.children(parent)["train/lstm"]
    steps = [point.step for point in found.client.get_metric_history(run.info.run_id, "loss")]
    assert steps == [1, 2, 3, 4, 5], "the summary's number is no point of the curve"
    assert len(parent.data.tags["mlflow.source.git.commit"]) == 40
    for tracked in (parent, run):
        assert tracked.data.tags["recap.git_dirty"] == "false"
    lock = (first_run.root / "dvc.lock").read_text()
    (run,) = found.children(parent)["evaluate/lstm"]
    inputs = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
    assert set(inputs) == {"models/lstm", "data/raw/rows.txt"}
    assert all(f"md5: {digest}\n" in lock for digest in inputs.values())
    files = {f"reports/decoders/lstm/{name}.json" for name in ("captions", "metrics")}
    pictures = {"pictures/0.webp", "pictures/none.webp"}
    assert found.artifacts(run) == {"captions.json"} | files | pictures
    assert found.artifacts(parent) == {"index.html"}
    assert run.data.tags["mlflow.user"] == getpass.getuser()
    assert_sync_changes_nothing(first_run)


def test_the_pipeline_itself_records_what_it_ran_and_skipped_and_leaves_no_process(checkout: Any) -> None:
    checkout.edit("width: 3", "width: 4")
    result = checkout.dvc("repro")
    assert "warning" not in result.stdout + result.stderr
    assert_whole(checkout, checkout.runs().parents[0], {"fetch", "train/lstm", "evaluate/lstm"})
    folders = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            folders.append(process.cwd())
    assert str(checkout.root) not in folders
    assert not list((checkout.root / ".recap" / "runs").iterdir())


def test_skipped_stages_are_reused_with_a_link(checkout: Any) -> None:
    originals = checkout.runs()
    first = originals.children(originals.parents[0])
    checkout.edit("width: 3", "width: 4")
    checkout.dvc("repro")
    checkout.sync()
    found = checkout.runs()
    assert len(found.parents) == 2
    parent = found.parents[0]
    reused = {"fetch", "train/lstm", "evaluate/lstm"}
    assert_whole(checkout, parent, reused)
    for name in reused:
        (run,) = found.children(parent)[name]
        (original,) = first[name]
        assert run.data.tags["recap.original_run"] == original.info.run_id
        assert original.info.run_id in run.data.tags["mlflow.note.content"]
        assert (run.data.params, numbers(run)) == (original.data.params, numbers(original))
        assert run.inputs.to_dictionary() == original.inputs.to_dictionary()
        assert found.artifacts(run) == found.artifacts(original)
    assert {name: value for name, value in parent.data.metrics.items() if ".lstm" in name} == {
        name: value for name, value in found.parents[1].data.metrics.items() if ".lstm" in name
    }
    (curve,) = found.children(parent)["train/lstm"]
    points = found.client.get_metric_history(curve.info.run_id, "loss")
    assert [point.step for point in points] == [1, 2, 3, 4, 5]
    (table,) = found.children(parent)["evaluate/lstm"]
    assert "captions.json" in table.data.tags["mlflow.loggedArtifacts"]
    assert_sync_changes_nothing(checkout)

    answer = checkout.recap("runs", "models/lstm/weights.safetensors").stdout
    (original,) = first["train/lstm"]
    assert f"run {original.info.run_id}: FINISHED" in answer
    assert originals.parents[0].data.tags["mlflow.source.git.commit"] in answer
    assert "train.lstm.width = 2" in answer
    assert f"data/raw {original.inputs.dataset_inputs[0].dataset.digest}" in answer
    assert "reused by 1 other pipelines" in answer
    assert "changed since" not in answer
    (checkout.root / "models/lstm/history.csv").write_text("spoilt")
    assert "changed since: models/lstm\n" in checkout.recap("runs", "models/lstm/weights.safetensors").stdout
    assert "rnn 0.400" in checkout.recap("runs").stdout
    result = checkout.recap("runs", "stages", code=2)
    assert result.stderr == "stages: expected an output that dvc.lock records, received another path\n"
    everything = checkout.recap("runs", ".").stdout
    assert [f"stage {title}" in everything for title in STAGES] == [True] * len(STAGES)


def test_commands_find_the_checkout_from_a_folder_in_it(checkout: Any, tmp_path: Path) -> None:
    inside = type(checkout)(checkout.root / "models", checkout.environment)
    assert "stage train/lstm" in inside.recap("runs", "lstm").stdout
    assert inside.sync().stdout == ""
    assert not list(inside.root.glob("*.db"))
    assert not list(inside.root.glob(".recap"))
    (tmp_path / "elsewhere").mkdir()
    outside = type(checkout)(tmp_path / "elsewhere", checkout.environment)
    for command in (("runs",), ("sync",), ("serve", "lstm", "--champion")):
        message = outside.recap(*command, code=2).stderr
        assert message == f"recap: expected to be in a checkout with dvc.yaml, received {outside.root}\n"
    assert not list(outside.root.iterdir())


def test_an_older_commit_is_its_own_pipeline_again(checkout: Any) -> None:
    (first,) = checkout.runs().parents
    older = checkout.git("rev-parse", "HEAD")
    checkout.edit("width: 3", "width: 4")
    checkout.dvc("repro")
    checkout.sync()
    assert checkout.runs().parents[0].data.tags["recap.git_dirty"] == "true"
    checkout.commit()
    checkout.git("checkout", "--quiet", older)
    checkout.dvc("checkout", "--force")
    checkout.sync()
    found = checkout.runs()
    assert len(found.parents) == 2
    assert found.parents[1].info.run_id == first.info.run_id
    assert_whole(checkout, found.parents[1], set())

    checkout.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{checkout.root}/mlflow.db.new"
    checkout.sync()
    (parent,) = checkout.runs().parents
    assert_whole(checkout, parent, set(STAGES))
    assert parent.data.tags["mlflow.source.git.commit"] == older
    assert parent.data.params["train.rnn.width"] == "3"


def test_what_a_run_itself_writes_makes_no_commit_dirty(checkout: Any) -> None:
    checkout.edit("width: 3", "width: 4")
    checkout.commit()
    checkout.dvc("repro")
    checkout.sync()
    assert checkout.git("status", "--porcelain", "--untracked-files=no") != ""
    found = checkout.runs()
    runs = [run for children in found.children(found.parents[0]).values() for run in children]
    made = [run for run in (found.parents[0], *runs) if "recap.reused" not in run.data.tags]
    assert [run.data.tags["recap.git_dirty"] for run in made] == 4 * ["false"]


def test_make_repro_runs_and_completes(checkout: Any) -> None:
    shutil.copy(Path(__file__).resolve().parents[2] / "Makefile", checkout.root)
    programs = checkout.root / "programs"
    programs.mkdir()
    (programs / "dvc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dvc "$@"\n')
    check = '[ "$1" = config ] && exit 0'  # it knows the real pipeline's params only
    (programs / "recap").write_text(f'#!/bin/sh\n{check}\nexec "{sys.executable}" -m recap.cli "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    checkout.edit("width: 3", "width: 8")
    make = ("make", "READY=", "BIN=programs", "repro")
    checkout.call(*make)
    assert_whole(checkout, checkout.runs().parents[0], {"fetch", "train/lstm", "evaluate/lstm"})

    for name in ("data", "models"):  # DVC takes them from its cache, and the stage `record` does not run
        shutil.rmtree(checkout.root / name)
    checkout.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{checkout.root}/mlflow.db.new"
    checkout.call(*make)
    assert_whole(checkout, checkout.runs().parents[0], set(STAGES))


def test_a_single_stage_leaves_a_pipeline_that_is_not_whole(checkout: Any) -> None:
    checkout.edit("width: 3", "width: 5")
    checkout.dvc("repro", "--single-item", "train@rnn")
    checkout.sync()
    found = checkout.runs()
    parent = found.parents[0]
    assert set(found.children(parent)) == {"train/rnn", "fetch", "train/lstm", "evaluate/lstm"}
    assert parent.info.status == "SCHEDULED"
    checkout.dvc("repro")
    checkout.sync()
    assert_whole(checkout, checkout.runs().parents[0], {"fetch", "train/lstm", "evaluate/lstm"})


def test_the_run_cache_and_a_store_that_knows_nothing(checkout: Any) -> None:
    checkout.edit("width: 3", "width: 4")
    checkout.dvc("repro")
    checkout.edit("width: 4", "width: 3")
    assert re.findall(r"Running stage '(\S+)'", checkout.dvc("repro").stdout) == ["record"]
    checkout.sync()
    assert len(checkout.runs().parents) == 2, "the first run of these params is found again"

    metrics = checkout.runs().parents[1].data.metrics
    checkout.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{checkout.root}/mlflow.db.new"
    checkout.sync()
    found = checkout.runs()
    (parent,) = found.parents
    assert_whole(checkout, parent, set(STAGES))
    assert parent.data.metrics | {"report.bytes": 15} == metrics, "the page says its size to MLflow only"
    (run,) = found.children(parent)["train/rnn"]
    assert [point.value for point in found.client.get_metric_history(run.info.run_id, "loss")] == [
        3 / (step + 1) for step in range(5)
    ]
    assert "models/rnn/history.csv" in found.artifacts(run)
    (run,) = found.children(parent)["evaluate/rnn"]
    assert "captions.json" in run.data.tags["mlflow.loggedArtifacts"]
    table = Path(found.client.download_artifacts(run.info.run_id, "captions.json")).read_text()
    pictures = [
        {"type": "image", "filepath": path, "compressed_filepath": path}
        for path in ("pictures/0.webp", "pictures/none.webp", "pictures/none.webp")
    ]
    assert json.loads(table) == {
        "columns": ["image_id", "caption", "picture"],
        "data": [[row, f"rnn sees {row * 3}", pictures[row]] for row in range(3)],
    }
    with Image.open(found.client.download_artifacts(run.info.run_id, "pictures/0.webp")) as square:
        assert square.width == square.height
        left, top, right, bottom = square.getchannel("A").getbbox()
        assert (top, left + right) == (0, square.width)
        assert bottom <= square.height // 2, "MLflow's box shows the upper half"
    assert_sync_changes_nothing(checkout)

    recorded = checkout.runs().children(parent)
    assert recorded["train/rnn"][0].info.run_id in checkout.recap("runs", "models/rnn").stdout
    checkout.edit("width: 2", "width: 7")
    checkout.dvc("repro")
    checkout.sync()
    for title in ("fetch", "train/rnn", "evaluate/rnn"):
        (again,) = checkout.runs().children(checkout.runs().parents[0])[title]
        assert again.data.tags["recap.original_run"] == recorded[title][0].info.run_id


def test_experiments_in_the_workspace_and_beside_it(checkout: Any) -> None:
    checkout.dvc("exp", "run", "--name", "in-place", "-S", "train.rnn.width=6")
    checkout.dvc("exp", "run", "--temp", "--name", "beside", "-S", "train.lstm.width=7")
    checkout.dvc("exp", "run", "--temp", "--name", "no-process", "-S", "train.rnn.width=3")
    checkout.sync()
    found = {run.data.tags["recap.dvc_experiment"]: run for run in checkout.runs().parents}
    assert set(found) == {"", "in-place", "beside", "no-process"}
    assert_whole(checkout, found["in-place"], {"fetch", "train/lstm", "evaluate/lstm"})
    assert_whole(checkout, found["beside"], {"fetch", "train/rnn", "evaluate/rnn"})
    assert_whole(checkout, found["no-process"], set(STAGES))
    assert_sync_changes_nothing(checkout)


def test_an_experiment_of_which_the_cache_has_everything_has_a_run_too(checkout: Any) -> None:
    width = ("-S", "train.rnn.width=6", "evaluate")  # the report is no part of it
    checkout.dvc("exp", "run", "--temp", "--name", "made", *width, RECAP_TRACKING="off")
    said = checkout.dvc("exp", "run", "--temp", "--name", "again", *width).stdout
    assert "Running stage" not in said
    expected = set(STAGES) - {"report"}
    for address in ("mlflow.db", "mlflow.db.new"):  # and in a store that knows nothing
        checkout.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{checkout.root}/{address}"
        assert checkout.sync().stdout.count("reused: again: ") == len(expected)
        found = {run.data.tags["recap.dvc_experiment"]: run for run in checkout.runs().parents}
        assert set(found) == {"", "made", "again"}
        assert len(checkout.runs().parents) == 3
        for name in ("made", "again"):
            assert set(checkout.runs().children(found[name])) == expected
            assert found[name].info.status == "SCHEDULED"
            assert found[name].data.metrics["rnn.cider_d"] == 0.6
        assert_sync_changes_nothing(checkout)

    (lost,) = checkout.runs().children(found["again"])["evaluate/rnn"]
    checkout.runs().client.delete_run(lost.info.run_id)
    assert checkout.sync().stdout == "reused: again: evaluate/rnn\n", "what is half there is completed"


def test_a_queue_with_four_workers_on_a_fresh_store(
    tmp_path: Path, make_checkout: Callable[[Path], Any]
) -> None:
    checkout = make_checkout(tmp_path / "queue")
    # DVC 3.67 may lose experiments that make the same outputs for the first time side by side
    checkout.dvc("repro", RECAP_TRACKING="off")
    # One command queues them all: DVC itself takes seconds to start.
    sweep = f"train.rnn.width=range(10,{10 + EXPERIMENTS})"
    checkout.dvc("exp", "run", "--queue", "--name", "width", "-S", sweep)
    names = {f"width-{number + 1}" for number in range(EXPERIMENTS)}
    checkout.dvc("queue", "start", "-j", "4")
    until = time.monotonic() + 480
    while len(checkout.git("for-each-ref", "refs/exps/*/*/*").splitlines()) < EXPERIMENTS:
        assert time.monotonic() < until, checkout.dvc("queue", "status").stdout
        time.sleep(0.5)
    checkout.sync()
    found = {run.data.tags["recap.dvc_experiment"]: run for run in checkout.runs().parents}
    assert set(found) == names | {""}
    assert len(checkout.runs().parents) == len(found)
    for name, parent in found.items():
        children = checkout.runs().children(parent)
        assert set(children) == set(STAGES), name
        assert parent.info.status == "FINISHED"
    assert_sync_changes_nothing(checkout)


def test_a_stage_that_fails_and_then_succeeds(checkout: Any) -> None:
    checkout.edit("width: 3", "width: 9")
    checkout.edit("losses = [", "assert width < 9\n        losses = [", "stages/train.py")
    checkout.dvc("repro", code=255)
    checkout.sync()
    found = checkout.runs()
    parent = found.parents[0]
    assert parent.info.status == "FAILED"
    (run,) = found.children(parent)["train/rnn"]
    assert (run.info.status, run.data.tags["recap.reason"][:14]) == ("FAILED", "AssertionError")
    assert_sync_changes_nothing(checkout)

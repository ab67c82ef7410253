"""The record against what people do: cut runs, deleted runs, odd names and places, stages of other kinds."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from recap.workspace.cache import Cache
from recap.workspace.journal import journals

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
STAGES = {"fetch", "train/lstm", "train/rnn", "evaluate/lstm", "evaluate/rnn", "report"}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, make_checkout: Callable[[Path], Any]) -> Any:
    """A checkout whose pipeline has run once, with its lock committed, and no store."""
    checkout = make_checkout(tmp_path_factory.mktemp("record") / "first")
    checkout.dvc("repro", RECAP_TRACKING="off")
    checkout.commit()
    return checkout


@pytest.fixture
def checkout(first_run: Any, tmp_path: Path) -> Any:
    """A copy of it."""
    return copy(first_run, tmp_path / "copy")


def copy(checkout: Any, root: Path) -> Any:
    shutil.copytree(checkout.root, root, symlinks=True)
    return type(checkout)(root, dict(checkout.environment))


def clone(checkout: Any, root: Path) -> Any:
    """A fresh clone, which holds no outputs."""
    subprocess.run(["git", "clone", "--quiet", str(checkout.root), str(root)], check=True)
    return type(checkout)(root, dict(checkout.environment))


def stages(checkout: Any, parent: Any) -> set[str]:
    return set(checkout.runs().children(parent))


def test_repro_shows_the_curves_of_stages_that_do_not_import_mlflow(checkout: Any) -> None:
    checkout.edit("rate: 1e-3", "rate: 2e-3")
    ending = "        run.log_metrics(summary)\n"
    checkout.edit(ending, f"{ending}        print('imported', 'mlflow' in sys.modules)\n", "stages/train.py")
    command = [sys.executable, "-m", "recap.cli", "repro"]
    environment = checkout.environment | {"STEP_SECONDS": "5", "RECAP_LIVE_SECONDS": "1"}
    shown, ended, pipe = set[str](), set[str](), subprocess.PIPE
    with subprocess.Popen(
        command, cwd=checkout.root, env=environment, stdout=pipe, stderr=pipe, text=True
    ) as process:
        while process.poll() is None:
            time.sleep(0.5)
            if not (checkout.root / "mlflow.db").exists():
                continue  # a reader would make it too
            with suppress(Exception):  # it is being written to
                for run in checkout.runs().all:
                    if run.info.status == "RUNNING" and run.data.metrics.get("loss", 0) > 0:
                        shown.add(run.info.run_name)
                    if run.info.status == "FINISHED" and process.poll() is None:
                        ended.add(run.info.run_name)
        output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert output.count("imported False") == 2, output
    assert shown == {"train/lstm", "train/rnn"}
    assert ended & shown, "what has ended is recorded beside what runs"
    (parent,) = checkout.runs().parents
    assert parent.info.status == "FINISHED"
    children = checkout.runs().children(parent)
    assert children.keys() == STAGES
    assert {len(own) for own in children.values()} == {1}


def test_what_dvc_has_not_recorded_yet_waits_for_the_end_of_the_pipeline(checkout: Any) -> None:
    """Between the end of a stage and its entry in dvc.lock, DVC may hold no lock."""
    checkout.edit("bytes", "letters", "stages/report.py")
    checkout.call(sys.executable, "stages/report.py", DVC_STAGE="report", DVC_ROOT=str(checkout.root))
    early = (
        "import os\nfrom recap.tracking.importer import Store, bring_ended\nbring_ended(Store(os.environ))"
    )
    checkout.call(sys.executable, "-W", "ignore", "-c", early, DVC_ROOT=str(checkout.root))
    assert len(journals(checkout.root)) == 1
    assert not checkout.runs().all
    checkout.sync()
    (run,) = (run for run in checkout.runs().all if run.info.run_name == "report")
    assert (run.info.status, journals(checkout.root)) == ("FAILED", [])


def test_a_run_that_was_cut_in_a_fresh_clone_is_not_whole(first_run: Any, tmp_path: Path) -> None:
    checkout = clone(first_run, tmp_path / "clone")
    command = [sys.executable, "-m", "dvc", "repro"]
    environment = checkout.environment | {"STEP_SECONDS": "60"}
    with subprocess.Popen(command, cwd=checkout.root, env=environment, stderr=subprocess.DEVNULL) as process:
        while len(journals(checkout.root)) < 2:  # of fetch, which is done, and of train
            time.sleep(0.05)
        for own in [*psutil.Process(process.pid).children(recursive=True), process]:
            own.kill()
    checkout.sync()
    (parent,) = checkout.runs().parents
    children = checkout.runs().children(parent)
    assert {name: runs[0].info.status for name, runs in children.items()} == {
        "fetch": "FINISHED",
        "train/lstm": "FAILED",
    }
    assert parent.info.status == "FAILED"
    assert not any(name.endswith("cider_d") for name in parent.data.metrics)


def test_a_sync_before_the_data_are_here_records_nothing_and_a_later_one_all(
    first_run: Any, tmp_path: Path
) -> None:
    checkout = clone(first_run, tmp_path / "clone")
    assert checkout.sync().stdout == ""
    assert checkout.runs().all == []
    checkout.dvc("config", "--local", "cache.dir", str(first_run.root / ".dvc" / "cache"))
    checkout.dvc("checkout")
    assert checkout.sync().stdout.count("reused: ") == len(STAGES)
    (parent,) = checkout.runs().parents
    assert stages(checkout, parent) == STAGES
    assert parent.info.status == "FINISHED"


def test_experiments_may_have_any_name(checkout: Any) -> None:
    names = ["bob's", "a-%_b"]
    for number, name in enumerate(names):
        checkout.dvc("exp", "run", "--temp", "--name", name, "-S", f"train.rnn.width={20 + number}")
    checkout.sync()
    assert checkout.sync().stdout == ""
    found = {run.data.tags["recap.dvc_experiment"]: run for run in checkout.runs().parents}
    assert set(found) == {"", *names}
    assert len(checkout.runs().parents) == 3
    assert all(stages(checkout, parent) == STAGES for parent in found.values())


def test_what_cannot_be_written_stops_nothing_else_and_comes_later(checkout: Any) -> None:
    (checkout.root / "mlartifacts").write_text("a file where a folder should be")
    checkout.edit("width: 3", "width: 4")
    result = checkout.dvc("repro")
    (line,) = [line for line in result.stderr.splitlines() if "warning" in line]
    assert "train/rnn: " in line
    assert "mlartifacts" in line
    (parent,) = checkout.runs().parents
    assert stages(checkout, parent) == STAGES
    assert parent.data.metrics["rnn.cider_d"] == 0.4
    (run,) = checkout.runs().children(parent)["train/rnn"]
    assert (run.info.status, run.data.metrics["loss"]) == ("FINISHED", 0.8)
    assert "recap.lacking" in run.data.tags
    (checkout.root / "mlartifacts").unlink()
    checkout.sync()
    (same,) = checkout.runs().children(parent)["train/rnn"]
    assert same.info.run_id == run.info.run_id
    assert "recap.lacking" not in same.data.tags
    assert "models/rnn/history.csv" in checkout.runs().artifacts(same)
    assert {name: len(runs) for name, runs in checkout.runs().children(parent).items()} == dict.fromkeys(
        STAGES, 1
    )
    assert checkout.sync().stdout == ""


def test_a_deleted_experiment_is_said_and_another_one_is_a_way_out(checkout: Any) -> None:
    checkout.sync()
    client = checkout.runs().client
    experiment = client.get_experiment_by_name("recap")
    client.delete_experiment(experiment.experiment_id)
    result = checkout.sync(code=1)
    assert result.stderr.count("\n") == 1
    assert f"experiment {experiment.experiment_id} must be in the 'active' state" in result.stderr
    checkout.environment["MLFLOW_EXPERIMENT_NAME"] = 'bob\'s "own"'
    checkout.sync()
    found = type(checkout.runs())(f"sqlite:///{checkout.root}/mlflow.db", 'bob\'s "own"')
    assert len(found.parents) == 1


def test_a_deleted_run_is_made_again(checkout: Any) -> None:
    checkout.sync()
    (parent,) = checkout.runs().parents
    (run,) = checkout.runs().children(parent)["train/lstm"]
    checkout.runs().client.delete_run(run.info.run_id)
    checkout.sync()
    assert stages(checkout, parent) == STAGES
    checkout.runs().client.delete_run(parent.info.run_id)
    checkout.sync()
    (again,) = checkout.runs().parents
    assert again.info.run_id != parent.info.run_id
    assert stages(checkout, again) == STAGES


OTHER_KINDS = """\
vars:
  - settings.yaml
  - word: hello
stages:
  count:
    foreach: [1, 2]
    do:
      cmd: mkdir -p out && echo ${word} ${item} > out/${item}.txt
      outs: ["out/${item}.txt"]
  sum:
    cmd:
      - cat out/1.txt out/2.txt > sum.txt
      - 'echo "{\\"words\\": 4}" > scores.json'
    params:
      - settings.yaml: [size, deep.rate]
      - train.rate
    deps: [out]
    outs: [sum.txt]
    metrics: [scores.json: {cache: false}]
  record:
    cmd: python stages/record.py
    deps: [sum.txt]
"""


def test_stages_as_developers_write_them_are_recorded(checkout: Any) -> None:
    (checkout.root / "dvc.yaml").write_text(OTHER_KINDS)
    (checkout.root / "settings.yaml").write_text("size: 3\ndeep: {rate: 0.5}\n")
    (checkout.root / "dvc.lock").unlink()
    result = checkout.dvc("repro")
    assert "warning" not in result.stdout + result.stderr
    (parent,) = checkout.runs().parents
    children = checkout.runs().children(parent)
    assert set(children) == {"count/1", "count/2", "sum"}
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"sum.words": 4.0}
    params = children["sum"][0].data.params
    assert {name: params[name] for name in ("size", "deep.rate", "train.rate")} == {
        "size": "3",
        "deep.rate": "0.5",
        "train.rate": "0.001",
    }
    assert checkout.sync().stdout == ""
    (checkout.root / "settings.yaml").write_text("size: 4\ndeep: {rate: 0.5}\n")
    checkout.dvc("repro")
    assert len(checkout.runs().parents) == 1, "the last output is the same: DVC does not record"
    checkout.sync()
    assert len(checkout.runs().parents) == 2, "other settings, another pipeline"


def test_a_pipeline_that_dvc_cannot_read_is_one_line(checkout: Any) -> None:
    checkout.edit(
        "matrix:\n      decoder: ${train.decoders}\n    cmd: python stages/train.py",
        "cmd: ${no.such}",
        "dvc.yaml",
    )
    result = checkout.sync(code=1)
    assert result.stderr.count("\n") == 1
    assert "dvc.yaml" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["feature%2Fx", "what?", "a b#c"])
def test_a_checkout_may_lie_anywhere(
    first_run: Any, tmp_path: Path, name: str, open_runs: Callable[[str], Any]
) -> None:
    checkout = copy(first_run, tmp_path / name / "checkout")
    checkout.edit("width: 3", "width: 4")
    checkout.dvc("repro")
    assert (checkout.root / "mlflow.db").is_file()
    (tmp_path / "elsewhere.db").symlink_to(checkout.root / "mlflow.db")
    found = open_runs(f"sqlite:///{tmp_path}/elsewhere.db")
    (parent,) = found.parents
    children = found.children(parent)
    assert set(children) == STAGES
    assert "models/rnn/history.csv" in found.artifacts(children["train/rnn"][0])
    assert (checkout.root / "mlartifacts").is_dir()
    assert "rnn 0.400" in checkout.recap("runs").stdout


def test_a_relative_address_is_one_store_from_everywhere(checkout: Any) -> None:
    checkout.environment["MLFLOW_TRACKING_URI"] = "sqlite:///own.db"
    inside = type(checkout)(checkout.root / "models", checkout.environment)
    inside.sync()
    checkout.edit("width: 3", "width: 4")
    checkout.dvc("exp", "run", "--temp", "--name", "beside")
    assert [
        path.relative_to(checkout.root).as_posix()
        for path in checkout.root.rglob("*.db")
        if ".dvc" not in path.parts
    ] == ["own.db"]
    checkout.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{checkout.root}/own.db"
    assert len(checkout.runs().parents) == 2


def test_a_copied_checkout_writes_beside_itself(checkout: Any, tmp_path: Path) -> None:
    checkout.sync()
    before = sorted((checkout.root / "mlartifacts").rglob("*"))
    other = copy(checkout, tmp_path / "other")
    checkout.root.rename(tmp_path / "moved away")
    other.edit("width: 3", "width: 4")
    other.dvc("repro")
    assert not checkout.root.exists()
    found = other.runs()
    assert len(found.parents) == 2
    for parent in found.parents:
        (run,) = found.children(parent)["train/rnn"]
        assert "models/rnn/history.csv" in found.artifacts(run), "the old ones moved along"
    assert len(before) < len(sorted((other.root / "mlartifacts").rglob("*")))


@pytest.mark.parametrize("kind", ["global", "local"])
def test_a_cache_in_another_place_is_read(
    checkout: Any, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.environment["DVC_GLOBAL_CONFIG_DIR"] = str(tmp_path / "global")
    shutil.move(checkout.root / ".dvc" / "cache", tmp_path / "cache")
    checkout.dvc("config", f"--{kind}", "cache.dir", str(tmp_path / "cache"))
    shutil.rmtree(checkout.root / "models")
    checkout.dvc("checkout")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    assert Cache(checkout.root).folder == tmp_path / "cache" / "files" / "md5"
    (checkout.root / "reports" / "index.html").unlink()  # which is in the cache
    checkout.sync()
    (parent,) = checkout.runs().parents
    assert stages(checkout, parent) == STAGES


def test_two_checkouts_on_one_server_have_runs_of_their_own(first_run: Any, tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/server.db"
    found = []
    for number in range(2):
        checkout = copy(first_run, tmp_path / f"checkout-{number}")
        checkout.environment |= {"MLFLOW_TRACKING_URI": address, "LOGNAME": f"person{number}"}
        (checkout.root / "README").write_text(f"{number}")
        commit = checkout.commit()
        checkout.sync()
        found.append((f"person{number}", commit))
    runs = checkout.runs()
    tags = [(run.data.tags["mlflow.user"], run.data.tags["mlflow.source.git.commit"]) for run in runs.parents]
    assert tags == found[::-1]
    assert [set(runs.children(parent)) for parent in runs.parents] == [STAGES, STAGES]


def test_a_copy_without_git_ends_in_one_line_with_the_way_out(checkout: Any) -> None:
    shutil.rmtree(checkout.root / ".git")
    result = checkout.sync(code=1)
    assert result.stderr.count("\n") == 1
    assert "git init" in result.stderr


def test_a_checkout_of_another_user_is_said(checkout: Any) -> None:
    if os.geteuid():
        pytest.skip("needs the right to give files away")
    checkout.environment["GIT_CONFIG_GLOBAL"] = "/dev/null"
    for path in (checkout.root, checkout.root / ".git"):
        os.chown(path, 65534, 65534)
    for result in (checkout.sync(code=1), checkout.recap("report", "--compare", "HEAD", code=2)):
        assert result.stderr.count("\n") == 1
        assert "dubious ownership" in result.stderr


def test_outputs_that_dvc_did_not_record_are_no_success(checkout: Any) -> None:
    checkout.edit("width: 3", "width: 4")
    script = checkout.root / "stages" / "train.py"
    script.write_text(f"{script.read_text()}\nsys.exit(3)  # after the run is closed\n")
    checkout.dvc("repro", code=255)
    checkout.sync()
    parent = checkout.runs().parents[0]
    (run,) = checkout.runs().children(parent)["train/lstm"]
    assert (run.info.status, run.data.tags["recap.reason"][:8]) == ("FAILED", "DVC did ")


def test_an_outage_loses_nothing_of_several_runs(checkout: Any) -> None:
    checkout.environment["MLFLOW_TRACKING_URI"] = "sqlite:////proc/none/mlflow.db"
    for old, new in ((3, 4), (4, 5)):
        checkout.edit(f"width: {old}", f"width: {new}")
        assert "warning: MLflow: " in checkout.dvc("repro").stderr
    checkout.dvc("exp", "run", "--temp", "--name", "beside", "-S", "train.rnn.width=6")
    del checkout.environment["MLFLOW_TRACKING_URI"]
    checkout.sync()
    found = checkout.runs()
    assert len(found.parents) == 3
    for parent in found.parents:
        children = found.children(parent)
        (run,) = children["train/rnn"]
        width = float(parent.data.params["train.rnn.width"])
        assert run.data.params["train.rnn.width"] == str(int(width))
        assert run.data.metrics["loss"] == width / 5
        assert "models/rnn/history.csv" in found.artifacts(run), "out of DVC's cache"
        (run,) = children["evaluate/rnn"]
        assert parent.data.metrics["rnn.cider_d"] == run.data.metrics["seen.cider_d"] == width / 10
        assert "captions.json" in found.artifacts(run)
    assert checkout.sync().stdout == ""


def test_a_run_that_a_slow_store_made_twice_is_one_again(checkout: Any) -> None:
    """The request of a client that gave up comes through later, when the next one has asked again."""
    checkout.dvc("repro", "--force")
    found = checkout.runs()
    (parent,) = found.parents
    (training,) = found.children(parent)["train/rnn"]
    checkout.dvc("repro")
    for run in (parent, training):
        info = run.info
        found.client.create_run(info.experiment_id, info.start_time, run.data.tags, run_name=info.run_name)
    checkout.sync()
    found = checkout.runs()
    assert [run.info.run_id for run in found.parents] == [parent.info.run_id]
    assert found.parents[0].info.status == "FINISHED"
    assert [len(runs) for runs in found.children(parent).values()] == 6 * [1]
    assert len(found.all) == 7

"""What a kill leaves of DVC's files is mended, and the way back works from every such state."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.small_pipeline import OUTPUTS, PARAMS, dvc, environment, git, read_lock_file

import recap.guard.healing
from recap.core.hashes import hash_output
from recap.errors import InputError
from recap.guard.healing import heal, keep_lock
from recap.guard.restore import restore
from recap.proof.verify import verify
from recap.workspace.cache import Cache
from recap.workspace.lock_file import made_outputs, parse_lock
from recap.workspace.rwlock import writers

PATHS = [path for paths in OUTPUTS.values() for path in paths]
HOLDER = {"pid": 2**22 + 1, "cmd": "dvc repro"}  # larger than any process's id


def hashes(root: Path) -> dict[str, str | None]:
    return {path: hash_output(root / path) if (root / path).exists() else None for path in PATHS}


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def stages_run(root: Path) -> str:
    command = [sys.executable, "-m", "dvc", "repro"]
    result = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("size", [0, 1, 40, -2])
def test_half_a_list_of_writers_is_removed_and_a_whole_one_kept(finished_run: Path, size: int) -> None:
    path = finished_run / ".dvc" / "tmp" / "rwlock"
    path.write_text(json.dumps({"write": {"/x/models": HOLDER}, "read": {"/x/data": [HOLDER]}}))
    assert heal(finished_run) == []
    cut(path, size)
    assert heal(finished_run) == [".dvc/tmp/rwlock: cut short, removed"]
    assert not path.exists()


def test_the_number_of_a_killed_process_may_be_anothers(finished_run: Path) -> None:
    path = finished_run / ".dvc" / "tmp" / "rwlock"
    path.write_text(json.dumps({"write": {str(finished_run / "models/lstm"): HOLDER | {"pid": os.getpid()}}}))
    assert writers(finished_run) == [os.getpid()]
    os.utime(path, (0, 0))  # written before this process began
    assert writers(finished_run) == []
    (finished_run / "found.txt").write_text("3.0")
    (finished_run / "params.yaml").write_text(PARAMS.replace("threads: 2", "threads: 1"))
    said = f".dvc/tmp/rwlock: of process {os.getpid()}, which has ended or is another one since, removed"
    assert heal(finished_run) == [said]
    dvc(finished_run, "repro")


def test_a_killed_process_that_nobody_waited_for_writes_no_more(finished_run: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        path = finished_run / ".dvc" / "tmp" / "rwlock"
        path.write_text(json.dumps({"write": {"/x/models": HOLDER | {"pid": process.pid}}}))
        assert writers(finished_run) == []
        assert len(heal(finished_run)) == 1
        assert not path.exists()


@pytest.mark.parametrize("process", ["1e999", "9" * 30, "-1", '"x"'])
def test_a_number_of_no_process_is_none(finished_run: Path, process: str) -> None:
    path = finished_run / ".dvc" / "tmp" / "rwlock"
    path.write_text(f'{{"write": {{"/x/models": {{"pid": {process}, "cmd": "dvc"}}}}}}')
    assert writers(finished_run) == []
    assert len(heal(finished_run)) == (process in ("1e999", '"x"'))


def test_a_lock_cut_anywhere_is_whole_again(finished_run: Path) -> None:
    lock = finished_run / "dvc.lock"
    whole = lock.read_bytes()
    keep_lock(finished_run)
    ends = [whole.index(f"  {name}:".encode()) for name in list(read_lock_file(finished_run)["stages"])[1:]]
    for size in [0, 1, len(whole) // 2, len(whole) - 1, *ends]:
        lock.write_bytes(whole[:size])
        assert heal(finished_run) == ["dvc.lock: cut short, restored from the copy that the last stage kept"]
        assert lock.read_bytes() == whole
    assert heal(finished_run) == []


def test_the_stage_without_outputs_is_no_cut(finished_run: Path) -> None:
    with open(finished_run / "dvc.yaml", "a") as file:
        file.write("  record:\n    cmd: 'true'\n    deps: [reports/index.html]\n")
    assert "Running stage 'record'" in stages_run(finished_run)
    whole = (finished_run / "dvc.lock").read_bytes()
    assert "outs" not in read_lock_file(finished_run)["stages"]["record"]
    keep_lock(finished_run)
    assert heal(finished_run) == []
    assert {finding.verdict for finding in verify(finished_run)} == {"identical"}
    git(finished_run, "commit", "--all", "--quiet", "-m", "Record")
    assert list(restore(finished_run, environment()))[-1].endswith("outputs are as committed")
    (finished_run / "dvc.lock").write_bytes(whole[: whole.index(b"  record:")])
    assert heal(finished_run) == ["dvc.lock: cut short, restored from the copy that the last stage kept"]
    assert (finished_run / "dvc.lock").read_bytes() == whole


def test_without_a_copy_the_last_commit_serves_and_without_it_the_cache_of_runs(finished_run: Path) -> None:
    lock = finished_run / "dvc.lock"
    whole, before = lock.read_bytes(), hashes(finished_run)
    cut(lock, 100)
    assert heal(finished_run) == ["dvc.lock: cut short, restored from the last commit"]
    assert lock.read_bytes() == whole
    git(finished_run, "rm", "--cached", "--quiet", "dvc.lock")
    git(finished_run, "commit", "--quiet", "-m", "No lock")
    cut(lock, 100)
    assert len(heal(finished_run)) == 1
    assert not lock.exists()
    assert "> python" not in stages_run(finished_run)
    assert hashes(finished_run) == before
    assert lock.read_bytes() == whole


def test_a_kill_in_the_cache_of_runs_blocks_nothing(finished_run: Path) -> None:
    folders = list((finished_run / ".dvc" / "cache" / "runs").glob("*/*"))
    for folder in folders:
        for run in folder.iterdir():
            run.rename(folder / ".half.tmp")
    (finished_run / "dvc.lock").unlink()
    assert heal(finished_run) == []
    assert not any(folder.exists() for folder in folders)
    assert stages_run(finished_run).count("Running stage") == len(OUTPUTS)


def test_what_another_checkout_writes_to_a_shared_cache_of_runs_stays(finished_run: Path) -> None:
    run = next((finished_run / ".dvc" / "cache" / "runs").glob("*/*/*"))
    draft = run.rename(run.with_name(".half.tmp"))
    writer = threading.Timer(0.3, draft.rename, [run])
    writer.start()
    assert heal(finished_run) == []
    writer.join()
    assert list(run.parent.iterdir()) == [run]


def test_a_committed_lock_is_left_alone_though_a_longer_one_was_kept(finished_run: Path) -> None:
    lock = finished_run / "dvc.lock"
    keep_lock(finished_run)
    lock.write_text(lock.read_text().partition("  page:")[0])
    short = lock.read_bytes()
    git(finished_run, "commit", "--quiet", "-am", "An older run")
    assert heal(finished_run) == []
    assert lock.read_bytes() == short


def test_a_broken_lock_is_not_kept(finished_run: Path) -> None:
    keep_lock(finished_run)
    kept = (finished_run / ".recap" / "dvc.lock").read_bytes()
    cut(finished_run / "dvc.lock", 300)
    keep_lock(finished_run)
    assert (finished_run / ".recap" / "dvc.lock").read_bytes() == kept


def test_nothing_is_mended_under_a_living_dvc(finished_run: Path) -> None:
    (finished_run / ".dvc" / "tmp" / "rwlock").write_text(
        json.dumps({"write": {"/x": {"pid": os.getpid(), "cmd": "dvc repro"}}})
    )
    cut(finished_run / "dvc.lock", 100)
    assert heal(finished_run) == []
    with pytest.raises(InputError, match=f"received process {os.getpid()}"):
        list(restore(finished_run, environment()))


def test_what_other_settings_left_of_the_users_files_goes(finished_run: Path) -> None:
    inputs = finished_run / "inputs"
    inputs.mkdir()
    for name in ("small_vgg.json", "coco.json", "dvc.lock", "mine.json"):
        (inputs / name).write_text("{}")
    git(finished_run, "add", "--force", "inputs/small_vgg.json", "inputs/dvc.lock")
    git(finished_run, "commit", "--quiet", "-m", "Inputs")
    list(restore(finished_run, environment()))
    assert {path.name for path in inputs.iterdir()} == {"small_vgg.json", "dvc.lock", "mine.json"}


def other_settings(root: Path) -> None:
    (root / "params.yaml").write_text(PARAMS.replace("plain", "fancy"))


def another_run(root: Path) -> None:
    (root / "found.txt").write_text("3.0")
    (root / "params.yaml").write_text(PARAMS.replace("threads: 2", "threads: 1"))
    dvc(root, "repro")
    (root / "found.txt").unlink()


def killed_run(root: Path) -> None:
    """Killed where it trains: DVC has removed the model before, and holds its list of writers."""
    (root / "params.yaml").write_text(PARAMS.replace("threads: 2", "threads: 1"))
    script = (root / "make.py").read_text()
    (root / "make.py").write_text("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n")
    variables = environment() | {"SHELL": "/bin/bash"}  # which runs a single command in its own place
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=root, env=variables)
    (root / "make.py").write_text(script)
    assert not (root / "models" / "lstm").exists()


def half_files(root: Path) -> None:
    cut(root / "dvc.lock", 500)
    (root / ".dvc" / "tmp" / "rwlock").write_text('{"write": {"/x')


def outputs_gone(root: Path) -> None:
    shutil.rmtree(root / "models")
    (root / "reports" / "index.html").unlink()


def no_cache(root: Path) -> None:
    shutil.rmtree(root / ".dvc" / "cache")


@pytest.mark.parametrize(
    "state", [other_settings, another_run, killed_run, half_files, outputs_gone, no_cache]
)
def test_the_way_back(finished_run: Path, state: Callable[[Path], None]) -> None:
    before = hashes(finished_run)
    state(finished_run)
    said = list(restore(finished_run, environment()))
    assert f"{len(PATHS)} outputs are as committed" in said
    assert hashes(finished_run) == before
    assert (finished_run / "params.yaml").read_text() == PARAMS
    assert (
        subprocess.check_output(["git", "status", "--short"], cwd=finished_run)
        == b"?? .recap/\n" * (finished_run / ".recap").exists()
    )
    assert "Running stage" not in stages_run(finished_run)


def test_what_was_never_made_is_named_and_made_by_the_next_run(finished_run: Path) -> None:
    before = hashes(finished_run)
    no_cache(finished_run)
    shutil.rmtree(finished_run / "models" / "rnn")
    said = list(restore(finished_run, environment()))
    assert said[-1] == "1 are not in DVC's cache, make repro makes them: models/rnn"
    (finished_run / "models" / "rnn").mkdir()
    said = list(restore(finished_run, environment()))
    assert said[-1] == "1 of them hold what other settings made, until then: models/rnn"
    ran = stages_run(finished_run)
    assert ran.count("Running stage") == 1
    assert hashes(finished_run) == before


def test_the_settings_of_before_are_kept(finished_run: Path) -> None:
    other_settings(finished_run)
    said = list(restore(finished_run, environment()))
    assert said[0] == "params.yaml: as committed; what was in it is in .recap/params.before.yaml"
    assert "fancy" in (finished_run / ".recap" / "params.before.yaml").read_text()


@pytest.mark.slow
def test_an_experiment_that_was_killed_gives_the_branch_back(checkout: Any) -> None:
    assert checkout.dvc("repro").returncode == 0
    git(checkout.root, "add", "--all")
    git(checkout.root, "commit", "--quiet", "-m", "Run")
    branch = subprocess.check_output(["git", "symbolic-ref", "HEAD"], cwd=checkout.root)
    process = checkout.start(sys.executable, "-m", "dvc", "exp", "run", "-S", "train.seed=7")
    process.send_signal(signal.SIGKILL)
    process.wait()
    checkout.go_on()
    assert checkout.output() is None
    said = list(restore(checkout.root, checkout.environment))
    assert any(line.startswith("git: HEAD is on ") for line in said)
    assert subprocess.check_output(["git", "symbolic-ref", "HEAD"], cwd=checkout.root) == branch
    assert subprocess.check_output(["git", "status", "--short"], cwd=checkout.root) == b""
    assert checkout.output() == "made of given by 231"
    assert "Running stage" not in checkout.dvc("repro").stdout
    assert recap.guard.healing.heal(checkout.root) == []


def test_the_way_back_brings_no_damaged_content(finished_run: Path) -> None:
    before, cache = hashes(finished_run), Cache(finished_run)
    outputs = made_outputs(parse_lock((finished_run / "dvc.lock").read_bytes()))
    files = cache.expand("models/lstm", outputs["models/lstm"]) or {}
    bad = cache.path(files["models/lstm/model.json"])
    bad.chmod(0o644)
    bad.write_text("damaged")
    shutil.rmtree(finished_run / "models/lstm")
    said = list(restore(finished_run, environment()))
    assert said == [
        f"{bad}: its content is not what its name says, removed",
        f"{len(PATHS) - 1} outputs are as committed",
        "1 are not in DVC's cache, make repro makes them: models/lstm",
    ]
    dvc(finished_run, "repro")
    assert hashes(finished_run) == before

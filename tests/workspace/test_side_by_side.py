"""Stages of a real DVC pipeline, run side by side."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.small_pipeline import dvc, environment, git, read_lock_file

from recap.workspace.lock_file import order_new_entries
from recap.workspace.rwlock import writers
from recap.workspace.side_by_side import count_lanes

PIPELINE = """\
stages:
  begin:
    cmd: python step.py begin
    params: [begin]
    outs: [begin]
  left:
    cmd: python step.py left right
    deps: [begin]
    outs: [left]
  right:
    cmd: python step.py right left
    deps: [begin]
    outs: [right]
  end:
    cmd: python step.py end
    deps: [left, right]
    outs: [end]
"""
STEP = '''\
"""A stage that, before it is done, waits until the one beside it is at work."""

import os
import sys
import time
from pathlib import Path

from recap.runtime.parent import end_with_parent

end_with_parent(os.environ)
name, *beside = sys.argv[1:]
Path(f"{name}.at_work").write_text(str(os.getpid()))
print(f"{name} works")
try:
    until = time.monotonic() + 60
    while not all(Path(f"{other}.at_work").exists() for other in beside) or Path("wait").exists():
        if time.monotonic() > until:
            sys.exit(f"{name}: nobody beside")
        time.sleep(0.05)
except KeyboardInterrupt:
    Path(f"{name}.interrupted").touch()
    raise
if Path(f"{name}.fails").exists():
    sys.exit(f"{name} fails")
Path(name).write_text(name)
'''
ORDER = ["begin", "left", "right", "end"]
REPRODUCE = """
import os, sys
from pathlib import Path
from recap.errors import exit_code
from recap.workspace.side_by_side import reproduce
sys.exit(exit_code(lambda: reproduce(Path(), int(sys.argv[1]), os.environ)))
"""
SECONDS = 60


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in (("dvc.yaml", PIPELINE), ("params.yaml", "begin: 1\n"), ("step.py", STEP)):
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    dvc(tmp_path, "init")
    return tmp_path


def start(root: Path, lanes: int = 2) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", REPRODUCE, str(lanes)],
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # a shell lets what it runs in the background ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def run(root: Path, lanes: int = 2) -> tuple[int, str]:
    process = start(root, lanes)
    said, _ = process.communicate(timeout=2 * SECONDS)
    return process.returncode, said


def wait_for(*paths: Path) -> None:
    until = time.monotonic() + SECONDS
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < until, f"none of {[path.name for path in paths]}"
        time.sleep(0.05)


def ids(root: Path) -> list[int]:
    return [int((root / f"{name}.at_work").read_text()) for name in ("left", "right")]


def is_at_work(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stages_that_wait_for_the_same_run_at_once(checkout: Path) -> None:
    code, said = run(checkout)
    assert code == 0, said
    assert "left | left works\n" in said
    assert "right | right works\n" in said
    lines = [line for line in said.splitlines() if "works" in line]
    assert lines[0] == "begin | begin works"
    assert lines[-1] == "end | end works"
    assert "git add" not in said
    assert "dvc push" not in said
    assert list(read_lock_file(checkout)["stages"]) == ORDER
    assert run(checkout) == (0, "Data and pipelines are up to date.\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "order"),
    [
        ({}, ["right", "third"]),
        ({"right": "1", "third": "{other: 3}"}, ["right", "third"]),
        ({"right": "1", "third": "2"}, ["third", "right"]),
    ],
)
def test_what_takes_longest_comes_first(checkout: Path, seconds: dict[str, str], order: list[str]) -> None:
    # one lane is taken until the third is at work
    text = PIPELINE.replace("left right", "left third").replace("right left", "right")
    text += "  third:\n    cmd: python step.py third\n    deps: [begin]\n    outs: [third]\n"
    for name, number in ({"left": "9"} | seconds).items():
        text = text.replace(f"  {name}:\n", f"  {name}:\n    meta: {{seconds: {number}, note: none}}\n")
    (checkout / "dvc.yaml").write_text(text)
    code, said = run(checkout)
    assert code == 0, said
    assert [name for name in re.findall(r"(\w+) works", said) if name in ("right", "third")] == order


@pytest.mark.slow
def test_one_stage_at_a_time_is_left_to_dvc(checkout: Path) -> None:
    alone = PIPELINE.replace("left right", "left").replace("right left", "right")
    (checkout / "dvc.yaml").write_text(alone)
    code, said = run(checkout, lanes=1)
    assert code == 0
    assert "Running stage 'left'" in said
    assert "left | " not in said


@pytest.mark.slow
def test_what_did_not_change_is_not_asked_for(checkout: Path) -> None:
    run(checkout)
    (checkout / "right").unlink()
    (checkout / "end").write_text("another")
    code, said = run(checkout)
    assert code == 0
    assert {line.partition(" | ")[0] for line in said.splitlines()} == {"right", "end"}
    assert (checkout / "right").read_text() == "right", "DVC takes it from its cache"
    assert (checkout / "end").read_text() == "end"


def test_a_failure_lets_the_stage_beside_it_end(checkout: Path) -> None:
    (checkout / "left.fails").touch()
    code, said = run(checkout)
    assert code != 0
    assert "left | left fails" in said
    assert "failed to reproduce 'left'" in said
    assert set(read_lock_file(checkout)["stages"]) == {"begin", "right"}, "what is done is not lost"
    (checkout / "left.fails").unlink()
    code, said = run(checkout)
    assert code == 0
    assert "begin |" not in said
    assert "right |" not in said
    assert list(read_lock_file(checkout)["stages"]) == ORDER, "left was recorded last"


def wait_until_nothing_works(root: Path) -> None:
    until = time.monotonic() + SECONDS
    while any(map(is_at_work, ids(root))) or writers(root):
        assert time.monotonic() < until, "a stage or its DVC goes on"
        time.sleep(0.05)


def wait_until_both_work(root: Path) -> subprocess.Popen[str]:
    (root / "begin").write_text("begin")
    dvc(root, "commit", "--force", "begin")
    (root / "wait").touch()
    process = start(root)
    wait_for(root / "left.at_work", root / "right.at_work")
    return process


@pytest.mark.slow
def test_stages_end_with_the_process_that_runs_them(checkout: Path) -> None:
    process = wait_until_both_work(checkout)
    process.kill()
    process.communicate(timeout=SECONDS)
    wait_until_nothing_works(checkout)
    assert not (checkout / "left").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_the_stages(checkout: Path, number: signal.Signals) -> None:
    process = wait_until_both_work(checkout)
    os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=SECONDS)
    wait_until_nothing_works(checkout)
    assert not (checkout / "left").exists()
    assert not (checkout / "end").exists()
    if number == signal.SIGINT:
        assert process.returncode == 130, said
        assert (checkout / "left.interrupted").exists()
        assert (checkout / "right.interrupted").exists()


@pytest.mark.slow
def test_dvc_tells_what_is_wrong_with_a_pipeline(checkout: Path) -> None:
    (checkout / "dvc.yaml").write_text(PIPELINE.replace("deps: [begin]", "deps: [end]"))
    code, said = run(checkout)
    assert code == 255
    assert "ERROR" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_what_a_stage_leaves_behind_holds_nothing_up(checkout: Path) -> None:
    (checkout / "dvc.yaml").write_text(
        PIPELINE.replace("python step.py begin", "sleep 50 & python step.py begin")
    )
    began = time.monotonic()
    code, said = run(checkout)
    assert code == 0, said
    assert time.monotonic() - began < 40


@pytest.mark.slow
def test_two_failures_leave_nothing(checkout: Path) -> None:
    (checkout / "left.fails").touch()
    right = "python step.py right left && kill -9 $PPID && sleep 9"
    (checkout / "dvc.yaml").write_text(PIPELINE.replace("python step.py right left", right))
    code, said = run(checkout)
    assert code > 0
    assert "right | DVC was ended by signal 9" in said
    assert "left | left fails" in said
    assert writers(checkout) == []


@pytest.mark.slow
def test_a_frozen_stage_waits_for_what_it_reads(checkout: Path) -> None:
    text = PIPELINE.replace("left right", "left").replace("right left", "right")
    text = text.replace("  right:\n", "  right:\n    frozen: true\n").replace(
        "[begin]\n    outs: [right]", "[left]\n    outs: [right]"
    )
    (checkout / "dvc.yaml").write_text(text)
    (checkout / "right").write_text("right")
    code, said = run(checkout)
    assert code == 0, said
    assert said.index("left works") < said.index("right | Verifying")


@pytest.mark.slow
def test_names_and_files_that_mislead(checkout: Path) -> None:
    (checkout / "inspect.py").write_text("raise SystemExit('not the library')\n")
    text = """\
stages:
  make:
    foreach: {words.dvc: 1, other: 2}
    do: {cmd: 'echo ${item} > ${key}.txt', outs: ['${key}.txt']}
"""
    (checkout / "dvc.yaml").write_text(text)
    code, said = run(checkout)
    assert code == 0, said
    assert (checkout / "words.dvc.txt").read_text() == "1\n"


def test_new_entries_follow_those_of_the_commit(checkout: Path) -> None:
    entries = {name: f"  {name}:\n    cmd: make {name}\n" for name in "abcd"}
    rest = "datasets:\n- name: words\n  url: words.csv\n  type: url\n"
    lock = checkout / "dvc.lock"
    lock.write_text("schema: '2.0'\nstages:\n" + entries["c"] + entries["a"] + rest)
    git(checkout, "add", "dvc.lock")
    git(checkout, "commit", "--quiet", "--message", "Lock")
    lock.write_text("schema: '2.0'\nstages:\n" + "".join(entries[name] for name in "cdab") + rest)
    order_new_entries(checkout, ["a", "b", "c", "d"])
    assert lock.read_text() == "schema: '2.0'\nstages:\n" + "".join(entries[name] for name in "cabd") + rest


@pytest.mark.parametrize(
    ("params", "lanes"),
    [
        ("runtime: {threads: 1, device: cpu}\ndistributed: {processes: 1}\n", 4),
        ("runtime: {threads: 1}\n", 4),
        ("runtime: {threads: 5}\n", 3),
        ("runtime: {threads: 16}\n", 1),
        ("runtime: {threads: 17}\n", 1),
        ("runtime: {threads: 0}\n", 1),
        ("runtime: {threads: one}\n", 1),
        ("begin: 1\n", 1),
        ("runtime: {threads: 1, device: cuda}\n", 1),
        ("runtime: {threads: 1}\ndistributed: {processes: 2}\n", 1),
        ("runtime: {device: [\n", 1),
    ],
)
def test_as_many_stages_as_cores_have_room_for_and_one_on_a_gpu_or_of_several_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: str, lanes: int
) -> None:
    (tmp_path / "params.yaml").write_text(params)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))
    assert count_lanes(tmp_path) == lanes
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1})
    assert count_lanes(tmp_path) == 1

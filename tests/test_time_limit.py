"""The time limit of slow tests, by pytest itself in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT


def run_pytest(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "tests.time_limit", "-p", "no:cacheprovider", "-ra"]
    return subprocess.run(
        [*command, "--rootdir", str(folder), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.slow
def test_what_has_not_begun_in_time_is_skipped_visibly(tmp_path: Path) -> None:
    text = "import time\n\ndef test_first():\n    time.sleep(8)\n\ndef test_second():\n    raise OSError\n"
    (tmp_path / "test_two.py").write_text(text)
    said = run_pytest(tmp_path, "--minutes", "0.1")
    assert "1 passed, 1 skipped" in said
    assert "not begun within 0.1 minutes" in said


@pytest.mark.slow
def test_the_order_of_files_is_that_of_the_commit(tmp_path: Path) -> None:
    for letter in "abcdef":
        (tmp_path / f"test_{letter}.py").write_text("def test_second(): pass\n\ndef test_first(): pass\n")

    def order(*arguments: str) -> list[str]:
        said = run_pytest(tmp_path, "--collect-only", "-q", *arguments)
        found = [line for line in said.splitlines() if "::" in line]
        assert [line.partition("::")[2] for line in found] == 6 * ["test_second", "test_first"]
        return [line.partition("::")[0] for line in found[::2]]

    def commit(message: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *author, "commit", "--quiet", "--allow-empty", "--message", message]
        subprocess.run(command, cwd=tmp_path, check=True)

    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    commit("one")
    assert order() == [f"test_{letter}.py" for letter in "abcdef"]
    first = order("--minutes", "1")
    assert first == order("--minutes", "1")
    assert sorted(first) == order()
    others = []
    for number in range(3):
        commit(f"another {number}")
        others.append(order("--minutes", "1"))
    assert any(other != first for other in others)

"""What a killed experiment took from a checkout comes back, unless somebody went on there."""

import os
from pathlib import Path

import pytest
from tests.small_pipeline import git

from recap.errors import InputError
from recap.experiments.interruption import BEFORE, keep_workspace, put_back

SETTINGS = {"train.seed": 232}


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A checkout with changes that a killed experiment left in git's stash, and with its settings."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    for name, text in (("params.yaml", "train: {seed: 231}\n"), ("code.py", "one\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / ".gitignore").write_text("/.recap\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "Begin")
    (tmp_path / "code.py").write_text("two\n")
    with keep_workspace(tmp_path, SETTINGS):
        kept = (tmp_path / BEFORE).read_bytes()
        git(tmp_path, "stash", "push", "--quiet")
        git(tmp_path, "checkout", "--quiet", "--detach")
        (tmp_path / "params.yaml").write_text("train: {seed: 232}\n")
    (tmp_path / BEFORE).write_bytes(kept)
    return tmp_path


def test_branch_changes_and_settings_come_back(killed: Path) -> None:
    (killed / "code.py").write_text("two\n")  # as DVC applies it, too
    put_back(killed)
    assert (killed / ".git" / "HEAD").read_text() == "ref: refs/heads/main\n"
    assert (killed / "params.yaml").read_text() == "train: {seed: 231}\n"
    assert (killed / "code.py").read_text() == "two\n"
    assert not (killed / BEFORE).exists()
    assert not (killed / ".git" / "refs" / "stash").exists()


def test_changes_made_since_are_not_lost(killed: Path) -> None:
    (killed / "code.py").write_text("three\n")
    with pytest.raises(InputError, match="received changes made since; `git stash pop`"):
        put_back(killed)
    assert (killed / "code.py").read_text() == "three\n"
    assert (killed / ".git" / "refs" / "stash").exists()


def test_settings_of_somebody_else_stay(killed: Path) -> None:
    git(killed, "stash", "drop", "--quiet")
    (killed / "params.yaml").write_text("train: {seed: 7}\n")
    put_back(killed)
    assert (killed / "params.yaml").read_text() == "train: {seed: 7}\n"


def test_names_that_are_no_text_are_in_nobodys_way(killed: Path) -> None:
    name = os.fsdecode(b"caf\xe9.py")
    (killed / name).write_text("one\n")
    git(killed, "add", name)
    with pytest.raises(InputError, match="received changes made since"):
        put_back(killed)

"""Objects of DVC's cache are what their names say, or are removed and made good."""

from pathlib import Path

import pytest
from tests.small_pipeline import dvc

from recap.cli.main import main
from recap.proof.lock import read_lock
from recap.workspace.cache import Cache


def objects(root: Path) -> list[Path]:
    return sorted((root / ".dvc" / "cache" / "files" / "md5").glob("??/*"))


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")


def test_a_whole_cache_stays(finished_run: Path) -> None:
    before = objects(finished_run)
    assert list(Cache(finished_run).remove_bad()) == []
    assert objects(finished_run) == before
    assert any(path.suffix == ".dir" for path in before)


def test_every_bad_object_is_found_folders_among_them(finished_run: Path) -> None:
    before = objects(finished_run)
    for path in before:
        damage(path)
    told = [f"{path}: its content is not what its name says, removed" for path in before]
    assert list(Cache(finished_run).remove_bad()) == told
    assert objects(finished_run) == []


def test_the_command_says_so_and_fills_the_cache_again(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished_run)
    output = next(own for own in read_lock(finished_run).outputs if own.path == "models/lstm")
    bad = Cache(finished_run).path(output.md5)
    damage(bad)
    assert main(["verify", "--cache"]) == 1
    printed = capfd.readouterr()
    assert printed.err == f"{bad}: its content is not what its name says, removed\n"
    assert printed.out.startswith("9 identical\n")
    assert Cache(finished_run).holds(output.md5)
    assert {path.stat().st_mode & 0o777 for path in objects(finished_run)} == {0o444}, (
        "DVC takes them for its own"
    )
    assert main(["verify", "--cache"]) == 0
    (finished_run / "models" / "lstm" / "model.json").unlink()
    dvc(finished_run, "checkout", "--force")
    assert main(["verify"]) == 0


@pytest.mark.parametrize("content", ["null", "[1]", "{}", "[]", '[{"relpath": "x"}]', "["])
def test_a_damaged_folder_is_not_held(finished_run: Path, content: str) -> None:
    output = next(own for own in read_lock(finished_run).outputs if own.path == "models/lstm")
    cache = Cache(finished_run)
    assert cache.holds(output.md5)
    cache.path(output.md5).chmod(0o644)
    cache.path(output.md5).write_text(content)
    assert not cache.holds(output.md5)


def test_a_setting_that_dvc_does_not_know_hides_no_cache(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[cache]\n    dir = ../elsewhere\n[core]\n    nonsense = 1\n")
    assert Cache(tmp_path).folder == tmp_path / "elsewhere" / "files" / "md5"

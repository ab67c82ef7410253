"""A full disk under DVC's cache is said, and nothing is recorded that the cache does not hold."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.small_pipeline import dvc

from recap.errors import InputError
from recap.guard.healing import heal
from recap.guard.stage import check_room
from recap.proof.lock import read_lock
from recap.workspace.cache import Cache


def move_cache(root: Path, disk: Path) -> None:
    (root / ".dvc" / "config").write_text(f"[cache]\n    dir = {disk}/cache\n")


def test_outputs_without_room_in_the_cache_are_not_recorded(checkout: Any, small_disk: Path) -> None:
    move_cache(checkout.root, small_disk)
    process = checkout.start_stage()
    (checkout.root / "models" / "lstm").mkdir(parents=True)
    (checkout.root / "models" / "lstm" / "weights").write_bytes(bytes(300_000))
    checkout.go_on()
    said = process.communicate()[0]
    assert process.returncode == 2
    assert said.startswith("train@lstm: expected 300,020 bytes free for DVC's cache in ")
    assert said.count("\n") == 1


def test_what_the_cache_holds_already_needs_no_room(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    move_cache(tmp_path, small_disk)
    (tmp_path / "model").write_bytes(bytes(200_000))
    Cache(tmp_path).add(tmp_path / "model")
    check_room("train", ["model"], tmp_path)
    (tmp_path / "model").write_bytes(b"x" * 200_000)
    with pytest.raises(InputError, match="expected 200,000 bytes free"):
        check_room("train", ["model"], tmp_path)


def test_what_a_full_disk_kept_out_comes_in_or_is_named(finished_run: Path, small_disk: Path) -> None:
    shutil.rmtree(finished_run / ".dvc" / "cache")
    said = heal(finished_run)
    assert "models/lstm: was not in DVC's cache, added" in said
    assert not any("metrics.json" in line for line in said)
    cache = Cache(finished_run)
    outputs = [own for own in read_lock(finished_run).outputs if not own.path.endswith("metrics.json")]
    assert all(cache.holds(own.md5) for own in outputs)
    shutil.rmtree(finished_run / "models")
    dvc(finished_run, "checkout")
    move_cache(finished_run, small_disk)
    (small_disk / "other").write_bytes(bytes(256 * 1024))
    with pytest.raises(InputError, match=r"expected room for .*, received: No space left on device"):
        heal(finished_run)

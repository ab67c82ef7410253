"""Hashes of files and folders as DVC forms them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.core.hashes import folder_files, hash_file, hash_output

NAMES = ("inner/b.txt", "a.txt", "inner-b.txt", "z/ü.txt", "Ä")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    return tmp_path / "folder"


def test_hashes_equal_those_of_a_real_lock(finished_run: Path) -> None:
    from tests.small_pipeline import read_lock_file

    locked = [output for entry in read_lock_file(finished_run)["stages"].values() for output in entry["outs"]]
    assert {own["path"]: own["md5"] for own in locked} == {
        own["path"]: hash_output(finished_run / own["path"]) for own in locked
    }


def test_files_of_a_folder_come_in_one_order(folder: Path) -> None:
    assert list(folder_files(folder)) == sorted(NAMES)
    assert folder_files(folder)["inner/b.txt"] == folder / "inner" / "b.txt"


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_other_bytes_have_another_hash(
    tmp_path_factory: pytest.TempPathFactory, left: bytes, right: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for name, content in (("left", left), ("right", right)):
        (folder / name).write_bytes(content)
    assert (hash_file(folder / "left") == hash_file(folder / "right")) == (left == right)

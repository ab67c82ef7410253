"""The first difference of two outputs, in the words of their format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from recap.proof.differences import FORMATS, LONGEST_ANSWER, first_difference


@pytest.fixture
def pair(tmp_path: Path) -> Callable[[str, Any, Any], str]:
    """Writes two files with an ending and gives their first difference."""

    def difference(ending: str, expected: str | bytes, received: str | bytes) -> str:
        paths = tmp_path / f"expected{ending}", tmp_path / f"received{ending}"
        for path, content in zip(paths, (expected, received), strict=True):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return first_difference(*paths)

    return difference


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ({"a": {"b": [1, 2.5]}}, {"a": {"b": [1, 3.5]}}, "a.b[1]: expected 2.5, received 3.5"),
        ({"a": 1, "b": 2}, {"a": 1}, "b: expected 2, received nothing"),
        ({"b": 2}, {"a": 1, "b": 3}, "a: expected nothing, received 1"),
        ([{"id": 1}], [{"id": 1}, {"id": 2}], '[1]: expected nothing, received {"id": 2}'),
        ({"a": 1}, {"a": 1.0}, "a: expected 1, received 1.0"),
        ({"a": True}, {"a": 1}, "a: expected true, received 1"),
        ({"a": None}, {"a": "x"}, 'a: expected null, received "x"'),
        (3, [3], "the value: expected 3, received [3]"),
        ({"a": {}}, {"a": []}, "a: expected {}, received []"),
    ],
)
def test_json_is_named_by_its_keys(pair, ours: Any, theirs: Any, found: str) -> None:
    assert pair(".json", json.dumps(ours), json.dumps(theirs)) == found


def test_long_values_are_cut(pair) -> None:
    ours, theirs = (json.dumps("x" * length) for length in (58, 59))
    found = f"the value: expected {ours}, received {theirs[:59]}…"
    assert pair(".json", ours, theirs).startswith(found)


@pytest.mark.parametrize("ending", [".txt", ".csv", ".html", ".svg"])
def test_text_is_named_by_its_line(pair, ending: str) -> None:
    assert pair(ending, "one\ntwo\n", "one\nten\n") == "line 2: expected 'two', received 'ten'"
    assert pair(ending, "one\n", "one\ntwo\n") == "line 2: expected the end, received 'two'"
    long = "x" * 1000
    found = pair(ending, f"{long}a{long}", f"{long}b{long}")
    assert found.startswith("line 1: expected …'xxx")
    assert f"a{'x' * 39}'…, received …'{'x' * 20}b" in found


def test_the_same_contents_in_other_bytes_are_said_to_be_so(pair, tmp_path: Path) -> None:
    for level in (0, 9):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{level}.png", compress_level=level)
    assert first_difference(tmp_path / "0.png", tmp_path / "9.png").startswith(
        "same pixels, other bytes; byte "
    )
    assert pair(".json", "[1]", "[1 ]") == "same values, other bytes; byte 2: expected 0x5d, received 0x20"
    assert pair(".txt", "a\n", "a\r\n").startswith("same lines, other bytes; byte 1")


def test_other_files_are_compared_by_bytes(pair) -> None:
    assert pair(".bin", b"abc", b"abd") == "byte 2: expected 0x63, received 0x64"
    assert pair(".bin", b"abc", b"ab") == "byte 2: expected 0x63, received the end"
    assert pair("", b"", b"\x00") == "byte 0: expected the end, received 0x00"
    content = bytes(2**20 + 5)
    assert pair(".bin", content, content[:-1] + b"x").startswith(f"byte {2**20 + 4}: ")


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_a_broken_file_cannot_be_read(pair, ending: str) -> None:
    broken = b"\xff\xfe{[<\0"
    found = pair(ending, broken, broken + b"more")
    assert (
        found
        == f"cannot be read as {FORMATS[ending][0]}; byte {len(broken)}: expected the end, received 0x6d"
    )


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("")
    assert first_difference(tmp_path / "there", tmp_path / "absent") == "cannot be read"


def test_numbers_too_deep_or_too_long_cannot_be_read(pair) -> None:
    assert pair(".json", "[" * 10**5, "[1]").startswith("cannot be read as JSON; byte 1")
    assert pair(".json", "9" * 10**4, "1").startswith("cannot be read as JSON; byte 0")


def make_folder(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (
            {"a.txt": "1", "b/c.txt": "2"},
            {"a.txt": "1", "b/c.txt": "3"},
            "b/c.txt: line 1: expected '2', received '3'",
        ),
        ({"a": "1", "b": "2"}, {"b": "3"}, "a: missing"),
        ({"b": "2"}, {"a": "1", "b": "3"}, "a: extra"),
        ({"a": "1"}, {"a": "1"}, ""),
        ({"a\n": "1"}, {"b": "1"}, "a\\n: missing"),
    ],
)
def test_the_first_file_of_a_folder_is_named(tmp_path: Path, ours, theirs, found: str) -> None:
    folders = make_folder(tmp_path / "ours", ours), make_folder(tmp_path / "theirs", theirs)
    assert first_difference(*folders) == found


def test_a_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    folder, file = make_folder(tmp_path / "folder", {"a": ""}), tmp_path / "folder" / "a"
    assert first_difference(folder, file) == "expected a folder, received a file"
    assert first_difference(file, folder) == "expected a file, received a folder"


@given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=50), st.binary(max_size=50))
def test_any_bytes_give_a_line_and_none_when_they_are_the_same(
    tmp_path_factory, ending, ours, theirs
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for name, content in (("ours", ours), ("theirs", theirs)):
        (folder / f"{name}{ending}").write_bytes(content)
    found = first_difference(folder / f"ours{ending}", folder / f"theirs{ending}")
    assert bool(found) == (ours != theirs)
    assert found.isprintable()
    assert len(found) <= LONGEST_ANSWER


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON, JSON)
def test_any_json_gives_a_line(tmp_path_factory: pytest.TempPathFactory, ours: Any, theirs: Any) -> None:
    folder = tmp_path_factory.mktemp("json")
    for name, content in (("ours", ours), ("theirs", theirs)):
        (folder / f"{name}.json").write_text(json.dumps(content, sort_keys=True))
    found = first_difference(folder / "ours.json", folder / "theirs.json")
    same = json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)
    assert bool(found) == (not same)
    assert not found.startswith(("same", "cannot"))
    assert found.isprintable()


def test_torch_is_not_needed() -> None:
    import subprocess
    import sys

    modules = (
        "recap.cli.main, recap.proof.verify, recap.proof.differences, recap.proof.doctor, recap.proof.report"
    )
    script = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0

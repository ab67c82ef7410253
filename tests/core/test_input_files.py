"""Files that people give are regular, of a bounded size, and their JSON says one thing."""

import os
import socket
from pathlib import Path

import pytest

from recap.cli.main import main
from recap.core import input_files
from recap.core.input_files import check_regular, parse_json, read_file, read_json
from recap.errors import InputError


def make_odd(folder: Path) -> dict[str, Path]:
    """What is no regular file, or has no end, by what it is called."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    (folder / "link").symlink_to("/dev/zero")
    return {path.name: path for path in folder.iterdir()} | {"zero": Path("/dev/zero")}


@pytest.mark.timeout(60)
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    for name, path in make_odd(tmp_path).items():
        with pytest.raises(InputError, match=r"expected a (regular|readable) file, received") as caught:
            read_file(path)
        assert str(path) in str(caught.value)
        with pytest.raises(InputError, match=f"received a {'folder|pipe|socket|device'}"):
            check_regular(path)
        assert name


def test_a_file_has_a_bound_and_the_size_that_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_files, "LARGEST", 3)
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert read_file(path) == b"abc"
    path.write_bytes(b"abcd")
    with pytest.raises(InputError, match="file: expected at most 3 bytes, received 4"):
        read_file(path)
    with pytest.raises(InputError, match="expected a file of 0 bytes as it says"):
        read_file(Path("/proc/self/status"))
    with pytest.raises(InputError, match="received: embedded null byte"):
        read_file(Path("a\0b"))


@pytest.mark.parametrize(
    "text", ['{"a": 1, "b": 2, "a": 1}', '[{"x": {"a": 1, "a": 2}}]', '{"a":1,"\\u0061":2}']
)
def test_a_key_twice_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r'x\.json: expected JSON, received: the key "a" twice in an object'):
        read_json(path)


def test_halves_of_characters_become_one_that_files_hold() -> None:
    assert parse_json('{"\\ud83d": ["a\\ude00", "\\ud83d\\ude00"]}', "") == {"\ufffd": ["a\ufffd", "😀"]}
    assert parse_json(b'["\\ud83d"]', "") == ["\ufffd"]


COMMANDS = (
    "score good.json ODD",
    "score ODD good.json",
    "score good.json good.json --training ODD",
    "score good.json good.json --idf ODD",
    "init new --from ODD",
    "init new --from ODD good.json",
    "data add http://127.0.0.1/x ODD",
    "see predict ODD",
    "caption ODD --model bundle",
    "caption a.png --model odd_bundle",
    "config --check",
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["pipe", "zero"])
def test_no_command_waits_for_what_is_no_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = make_odd(tmp_path)[kind]
    monkeypatch.chdir(tmp_path)
    Path("good.json").write_text('{"1": "a cat", "2": "a dog"}')
    Path("params.yaml").symlink_to(odd)
    for name in ("bundle", "odd_bundle"):
        Path(name).mkdir()
        (Path(name) / "captioner.json").symlink_to(odd)
    for command in COMMANDS:
        assert main([str(odd) if part == "ODD" else part for part in command.split()]) == 2, command
        told = capsys.readouterr().err
        assert told.count("\n") == 1, told
        assert "expected" in told, told
    assert not Path("new").exists()

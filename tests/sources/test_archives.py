import stat
import struct
import zipfile
from pathlib import Path

import pytest

from recap.errors import InputError
from recap.sources.archives import extract_member, find_member, open_archive

CONTENT = bytes(range(256)) * 40


def make(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def extract(path: Path, name: str = "data.h5") -> bytes:
    target = path.parent / "out" / name
    with open_archive(path) as archive:
        extract_member(archive, find_member(archive, name), target)
    return target.read_bytes()


@pytest.mark.parametrize("folder", ["", "coco_captioning/", "a/b/"])
def test_a_member_comes_out_of_any_folder(tmp_path: Path, folder: str) -> None:
    path = make(tmp_path / "a.zip", {f"{folder}data.h5": CONTENT, "__MACOSX/data.h5": b"", "extra.sh": b"#"})
    assert extract(path) == CONTENT
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["data.h5"]


@pytest.mark.parametrize(
    "name", ["../data.h5", "a/../../data.h5", "/data.h5", "\\\\host\\data.h5", "..\\data.h5"]
)
def test_names_that_leave_the_archive(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "a.zip", {"data.h5": CONTENT, name: b"evil"})
    with pytest.raises(InputError, match="expected members inside the archive"):
        extract(path)


def test_links(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("data.h5")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match=r"received the link 'data\.h5'"):
        extract(path)


def test_a_bomb(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"data.h5": bytes(20 << 20)})
    assert path.stat().st_size * 900 < 20 << 20
    with pytest.raises(InputError, match="at most 200 times its size"):
        extract(path)


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"data.h5": bytes(20 << 20)})
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    path.write_bytes(content)
    with pytest.raises(InputError, match="unbroken member"):
        extract(path)
    assert not (tmp_path / "out" / "data.h5").exists()


def test_a_wrong_checksum(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"data.h5": CONTENT}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="Bad CRC-32"):
        extract(path)
    assert not (tmp_path / "out" / "data.h5").exists()


@pytest.mark.parametrize(
    "spoil", [lambda content: content[: len(content) // 2], lambda _: b"<html>404</html>"]
)
def test_a_cut_archive_and_no_archive(tmp_path: Path, spoil) -> None:
    path = make(tmp_path / "a.zip", {"data.h5": CONTENT})
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match="expected a zip archive"):
        extract(path)


def test_an_absent_archive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        extract(tmp_path / "a.zip")


@pytest.mark.parametrize("members", [{"other.h5": b""}, {"a/data.h5": b"1", "b/data.h5": b"2"}])
def test_a_member_absent_or_twice(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = make(tmp_path / "a.zip", members)
    with pytest.raises(InputError, match=r"expected one member data\.h5"):
        extract(path)


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"data.h5": CONTENT})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="unbroken member"):
        extract(path)

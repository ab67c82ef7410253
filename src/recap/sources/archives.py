"""Zip archives from outside: only expected members come out, and none of them is trusted.

Nothing is ever written under a name that the archive chooses. An archive is refused as a whole when a
member's name leaves its folder, is a link, or unpacks to far more than it weighs; sizes are known before
anything is unpacked, and the checksum of a member decides whether it is used.
"""

import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from recap.core.input_files import check_regular
from recap.errors import InputError, expecting

RATIO_LIMIT = 200  # deflate reaches 1,032; the captions of COCO, mostly zeros, reach about 12
RATIO_FREE_BYTES = 1 << 20  # small members may pack as well as they like
COPY_BYTES = 1 << 20


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose members are harmless.

    Raises:
        InputError: the file is absent, is no whole zip, or has a hostile member.
    """
    check_regular(path)
    with expecting(f"{path}: expected a zip archive"):  # a broken one makes zipfile raise almost anything
        archive = zipfile.ZipFile(path)
    with archive:
        for member in archive.infolist():
            _check_member(member, path)
        yield archive


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    name = PurePosixPath(member.orig_filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[:1] or "\0" in member.orig_filename:
        raise InputError(f"{path}: expected members inside the archive, received {member.orig_filename!r}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{path}: expected files, received the link {member.filename!r}")
    if member.file_size > RATIO_FREE_BYTES + RATIO_LIMIT * member.compress_size:
        raise InputError(
            f"{path}: {member.filename}: expected to unpack to at most {RATIO_LIMIT} times its size, "
            f"received {member.compress_size} bytes for {member.file_size}"
        )


def find_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the one member with this file name, in whatever folder.

    Raises:
        InputError: there is none, or more than one.
    """
    found = [member for member in archive.infolist() if PurePosixPath(member.filename).name == name]
    # resource forks that macOS adds beside every file
    found = [
        member for member in found if not member.filename.startswith("__MACOSX/") and not member.is_dir()
    ]
    if len(found) != 1:
        raise InputError(f"{archive.filename}: expected one member {name}, received {len(found)}")
    return found[0]


def extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Unpack a member to ``target``, which must not exist; its checksum is verified.

    Raises:
        InputError: the member is broken, encrypted or packed in an unknown way, or the disk is too full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if member.file_size > free:
        raise InputError(
            f"{target.parent}: expected {member.file_size} free bytes for {member.filename}, received {free}"
        )
    try:
        with archive.open(member) as packed, open(target, "xb") as file:
            shutil.copyfileobj(packed, file, COPY_BYTES)
    except Exception as error:  # a broken head makes zipfile and the decoders raise almost anything
        target.unlink(missing_ok=True)
        raise InputError(
            f"{archive.filename}: {member.filename}: expected an unbroken member, received: "
            f"{' '.join(str(error).split())}"
        ) from None
    if target.stat().st_size != member.file_size:
        received = target.stat().st_size
        target.unlink()
        raise InputError(
            f"{archive.filename}: {member.filename}: expected {member.file_size} bytes, received {received}"
        )

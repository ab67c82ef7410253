import hashlib
import zipfile
from pathlib import Path

import pytest
import tests.synthetic_coco as module
from tests.synthetic_coco import write_synthetic_coco

from recap.sources.cs231n import MEMBER_BYTES


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    first, second, other = (
        [digest(path) for path in write_synthetic_coco(tmp_path / str(run), 0.001, seed)]
        for run, seed in enumerate([1, 1, 2])
    )
    assert first == second
    assert first[0] != other[0]


@pytest.mark.slow
def test_the_full_size_has_the_published_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VGG_WIDTH", 8)  # its size is not published, and it is most of the work
    archive, _ = write_synthetic_coco(tmp_path, scale=1, seed=0)
    with zipfile.ZipFile(archive) as members:
        sizes = {Path(member.filename).name: member.file_size for member in members.infolist()}
    assert MEMBER_BYTES.items() <= sizes.items()
    archive.unlink()

"""Parquet files of Hugging Face's data sets: pictures as bytes beside their captions."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recap.core.artifacts import write_bytes
from recap.core.input_files import check_regular
from recap.errors import InputError, expecting
from recap.importing.pictures import SPLITS, Found, field, pictures_of

ROWS_AT_ONCE = 64


def read_parquet(paths: Sequence[Path], pictures: Path) -> Found:
    """Read captions, and write the pictures as files into a folder.

    Tables have a column of images, ``{"bytes", "path"}``, and one of captions; the names of their files tell
    the split, as in train-00000-of-00002.parquet.

    Raises:
        InputError: a file is no such table.
    """
    rows: list[dict[str, Any]] = []
    for path in paths:
        words = re.split(r"[^a-z]+", path.stem.lower())
        split = next((SPLITS[word] for word in words if word in SPLITS), None)
        for row in _read_rows(path):
            image = next((key for key in row if field(key) == "image"), None)
            if image is not None and isinstance(row[image], dict):
                row[image] = _write(row[image], pictures, f"{path}: {image}")
            rows.append({"split": split, **row})
    return Found("Parquet", pictures_of(rows, str(paths[0].parent)), pictures)


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowException, parquet

    check_regular(path)
    kinds = (ArrowException, OSError, ValueError, OverflowError)  # of its texts and times too
    reading = expecting(f"{path}: expected a Parquet file", *kinds)
    with reading, parquet.ParquetFile(path) as table:
        wanted = [name for name in table.schema_arrow.names if field(name)]
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=wanted):
            yield from batch.to_pylist()


def _write(image: dict[str, Any], pictures: Path, where: str) -> str:
    """Write the bytes of a picture under the name that it has, or one made of them; returns the name."""
    content = image.get("bytes")
    if not isinstance(content, bytes):
        raise InputError(f"{where}: expected the bytes of a picture, received none")
    digest = hashlib.sha256(content).hexdigest()[:16]
    name = Path(str(image.get("path") or "")).name or f"{digest}.jpg"
    path = pictures / name
    if path.exists() and path.read_bytes() != content:
        name = f"{path.stem}-{digest}{path.suffix}"
    if not (pictures / name).exists():
        write_bytes(pictures / name, content)
    return name

"""A contact sheet: pictures with their captions on one page that needs no other file."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any, BinaryIO

from recap.core.artifacts import write_atomically
from recap.core.image_files import read_image
from recap.features.familiarity import WARNING

SIDE = 240
THREADS = 4
AT_ONCE = 64
HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Captions of {count} pictures</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color-scheme: light dark; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.5rem; }}
figure {{ margin: 0; }}
img {{ max-width: 100%; }}
small {{ opacity: 0.75; overflow-wrap: anywhere; }}
</style>
<h1>Captions of {count} pictures</h1>
<main>
"""


def write_contact_sheet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the page of rows with ``image``, ``caption``, ``log_probability`` and ``familiar``."""

    def write(file: BinaryIO) -> None:
        for part in _parts(rows):
            file.write(part.encode("utf-8", "backslashreplace"))

    write_atomically(path, write)


def _parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield HEAD.format(count=f"{len(rows):,}")
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(rows), AT_ONCE):
            yield from pool.map(_figure, rows[first : first + AT_ONCE])
    yield "</main>\n</html>\n"


def _figure(row: Mapping[str, Any]) -> str:
    image = read_image(Path(row["image"]))
    image.thumbnail((SIDE, SIDE))
    draft = io.BytesIO()
    image.save(draft, "JPEG")
    pixels = base64.b64encode(draft.getvalue()).decode()
    name, caption = escape(row["image"]), escape(row["caption"])
    note = f"<br>{escape(WARNING)}" if row["familiar"] is False else ""
    return (
        f'<figure><img src="data:image/jpeg;base64,{pixels}" alt="{caption}" width="{image.width}" '
        f'height="{image.height}"><figcaption>{caption}<br><small>{name}, log-probability '
        f"{row['log_probability']:.2f}{note}</small></figcaption></figure>\n"
    )

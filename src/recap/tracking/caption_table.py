"""The captions of a decoder as a table of MLflow, with small pictures of the first images."""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from recap.core import paths
from recap.core.image_files import read_image
from recap.workspace.lock_file import Outputs

COLUMNS = ("image_id", "caption", "part", "cider_d")  # MLflow compares the second
MOST_PICTURES, SIDE = 100, 344
"""Of MLflow's square boxes the comparison shows the upper half; a picture grows to its own size at most."""
IMAGES = (paths.RAW / "images" / "test").as_posix()
NAMES = (paths.RAW / "annotations" / "captions_test.json").as_posix()


def write_caption_table(folder: Path, rows: Sequence[Mapping[str, Any]], outputs: Outputs) -> str:
    """Write captions.json, as MLflow's ``log_table`` does, and the pictures that it shows; returns its name.

    Args:
        folder: receives them.
        rows: what `evaluate` wrote, one a test image.
        outputs: of the pipeline, which has the images, or not.
    """
    columns = [column for column in COLUMNS if rows and column in rows[0]]
    data = [[row[column] for column in columns] for row in rows]
    if pictures := _write_pictures(folder / "pictures", outputs):
        columns.append("picture")
        blank = _cell(folder / "pictures", Image.new("RGBA", (1, 1)), "none")  # a cell must have one
        data = [[*own, pictures.get(row.get("image_id"), blank)] for own, row in zip(data, rows, strict=True)]
    table = folder / "captions.json"
    table.write_text(json.dumps({"columns": columns, "data": data}), encoding="utf-8")
    return table.name


def _write_pictures(folder: Path, outputs: Outputs) -> dict[Any, dict[str, str]]:
    """Write the pictures; a cell of the table by the image's id."""
    cells: dict[Any, dict[str, str]] = {}
    with suppress(FileNotFoundError, KeyError):
        files = outputs.files([IMAGES, NAMES])
        images = json.loads(outputs.content(NAMES, files[NAMES]))["images"]
        for place, image in enumerate(images[:MOST_PICTURES]):
            path = f"{IMAGES}/{image['file_name']}"
            picture = read_image(io.BytesIO(outputs.content(path, files[path])))
            picture = ImageOps.contain(picture, (SIDE, SIDE // 2))
            square = Image.new("RGBA", (SIDE, SIDE))
            square.paste(picture, ((SIDE - picture.width) // 2, 0))
            cells[image["id"]] = _cell(folder, square, str(place))
    return cells


def _cell(folder: Path, picture: Image.Image, name: str) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    picture.save(folder / f"{name}.webp", quality=90)
    path = f"{folder.name}/{name}.webp"
    return {"type": "image", "filepath": path, "compressed_filepath": path}

"""Reads what several parts of the report need: the images of a split, and tables."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.core.raw_data import RawData
from recap.errors import InputError

Table = dict[str, list[float]]
"""Columns of numbers; an empty cell is NaN."""


@dataclass(frozen=True)
class Split:
    """The images of a split in row order, and the original captions of each."""

    images: list[dict[str, Any]]
    references: list[list[str]]


def load_split(raw: RawData, split: str) -> Split:
    """Read the images of a split and their original captions."""
    content = raw.captions(split)
    references: dict[Any, list[str]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        references[annotation["image_id"]].append(annotation["caption"])
    return Split(content["images"], list(references.values()))


def read_table(path: Path) -> Table:
    """Read a CSV file of numbers; without rows, its columns are empty.

    Raises:
        InputError: it cannot be read, or a cell holds something else.
    """
    header, rows = read_rows(path)
    try:
        columns = zip(*rows, strict=True) if rows else [()] * len(header)
        return {
            column: [float(cell) if cell else math.nan for cell in cells]
            for column, cells in zip(header, columns, strict=True)
        }
    except ValueError as error:
        raise InputError(f"{path}: expected a table of numbers, received: {error}") from None


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a CSV file.

    Raises:
        InputError: it cannot be read, or has no header.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except OSError as error:
        raise InputError(f"{path}: expected a readable table, received: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path}: expected a table with a header, received none") from None
    return header, rows

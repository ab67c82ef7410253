"""Reads captions in the forms that people have them; which form a file has, its content tells."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recap.core.input_files import check_regular, parse_json, read_file
from recap.errors import InputError, expecting
from recap.importing.pictures import SPLITS, Found, Picture, decode, field, pictures_of, read_split, texts
from recap.metrics.files.caption_files import check_columns
from recap.sources.folder import read_credit
from recap.text.coco_files import check_coco_captions, check_id

FORMS = (
    "COCO JSON, Karpathy's JSON, JSON lines, CSV or TSV (image, caption), Flickr8k's token.txt, "
    "a folder with a .txt beside each picture, or Parquet of Hugging Face's image folder"
)
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
DELIMITERS = (",", "\t", ";", "|")
_TOKEN = re.compile(r"(?P<name>[^\t]+)#\d+\s*\t(?P<caption>.*)")
_LISTS = {"train": "train", "dev": "validation", "val": "validation", "test": "test"}


def read_captions(path: Path, pictures: Path) -> Found:
    """Read captions, in one of ``FORMS``, and the names of their images.

    The folder ``pictures`` receives what lies inside a file of captions.

    Raises:
        InputError: it cannot be read, or has another form.
    """
    if path.is_dir():
        return _read_folder(path, pictures)
    if _is_parquet(path):
        from recap.importing.parquet import read_parquet

        return read_parquet([path], pictures)
    content = read_file(path)
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return _read_json(path, content)
    text, encoding = decode(content)
    note = "" if encoding == "UTF-8" else f", read as {encoding}"
    lines = _lines(text)
    if next(map(_TOKEN.fullmatch, lines.values()), None):
        rows = []
        for number, line in lines.items():
            if (row := _TOKEN.fullmatch(line)) is None:
                raise InputError(
                    f"{path}: line {number}: expected NAME#N, a tab and a caption, received {line[:80]!r}"
                )
            rows.append(row)
        own = _read_lists(path.parent)
        pairs = [
            {"image": row["name"], "caption": row["caption"], "split": own.get(row["name"])} for row in rows
        ]
        return Found(f"Flickr8k's captions{note}", pictures_of(pairs, str(path)), path.parent)
    return Found(f"a table{note}", pictures_of(_read_table(path, text), str(path)), path.parent)


def _is_parquet(path: Path) -> bool:
    """Look at the first bytes of a file, which may be larger than what is read as a whole."""
    with expecting(f"{path}: expected a readable file or folder", OSError):
        check_regular(path)
        with open(path, "rb") as file:
            return file.read(4) == b"PAR1"


def _read_json(path: Path, content: bytes) -> Found:
    try:
        value: Any = parse_json(content, str(path))
    except InputError as error:
        lines = _lines(decode(content)[0])
        try:
            parse_json(next(iter(lines.values())), "")
        except InputError:
            raise error from None
        rows = [parse_json(line, f"{path}: line {number}") for number, line in lines.items()]
        return _records(rows, path, "JSON lines")
    if isinstance(value, list):
        return _records(value, path, "JSON")
    if "annotations" in value:
        return Found("COCO JSON", _read_coco(value, str(path)), path.parent)
    images = value.get("images")
    if isinstance(images, list) and images and isinstance(images[0], dict) and "sentences" in images[0]:
        return Found("Karpathy's JSON", _read_karpathy(images, str(path)), path.parent)
    if any(field(key) == "caption" for key in value):
        return _records([value], path, "JSON lines")
    raise InputError(
        f"{path}: expected {FORMS}; received JSON with {', '.join(map(str, value))[:200] or 'nothing'}"
    )


def _lines(text: str) -> dict[int, str]:
    """Return the lines that hold something, by their numbers."""
    lines = enumerate(re.split("\r\n?|\n", text), start=1)
    return {number: line.rstrip() for number, line in lines if line.strip()}


def _records(rows: list[Any], path: Path, form: str) -> Found:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number}: expected an object, received {str(row)[:80]!r}")
    return Found(form, pictures_of(rows, str(path)), path.parent)


def _read_coco(value: dict[str, Any], where: str) -> list[Picture]:
    """Keep the ids of images that are numbers; ids that are text only join captions with images."""
    ids: dict[Any, int] = {}
    for name, key in (("images", "id"), ("annotations", "image_id")):
        for entry in value[name] if isinstance(value.get(name), list) else ():
            if isinstance(entry, dict) and isinstance(entry.get(key), str):
                entry[key] = ids.setdefault(entry[key], -len(ids) - 1)
    entries, annotations = check_coco_captions(value, where)
    captions: dict[int, list[str]] = {entry["id"]: [] for entry in entries}
    for annotation in annotations:
        captions[annotation["image_id"]].append(annotation["caption"])
    texts_of_ids = set(ids.values())
    return [
        Picture(
            entry["file_name"].replace("\\", "/"),
            tuple(captions[entry["id"]]),
            read_split(entry.get("split"), where),
            None if entry["id"] in texts_of_ids else entry["id"],
            read_credit(entry, value.get("licenses")),
        )
        for entry in entries
    ]


def _read_karpathy(images: list[Any], where: str) -> list[Picture]:
    pictures = []
    for number, image in enumerate(images):
        place = f"{where}: images[{number}]"
        if not isinstance(image, dict) or not isinstance(image.get("filename"), str):
            raise InputError(f"{place}: expected an object with filename and sentences")
        folder, own_id = image.get("filepath"), image.get("cocoid")
        name = f"{folder}/{image['filename']}" if folder else image["filename"]
        if type(own_id) is int:
            check_id(f"{place}.cocoid", own_id)
        own = tuple(texts(image.get("sentences"), place))
        split = read_split(image.get("split"), place)
        pictures.append(Picture(name, own, split, own_id if type(own_id) is int else None))
    return pictures


def _read_lists(folder: Path) -> dict[str, str]:
    """Return the splits of Flickr8k by the names of images, from the lists beside the captions."""
    found: dict[str, str] = {}
    for word, split in _LISTS.items():
        for path in sorted(folder.glob(f"*{word}Images.txt")):
            names = map(str.strip, decode(read_file(path))[0].splitlines())
            found |= dict.fromkeys(filter(None, names), split)
    return found


def _read_table(path: Path, text: str) -> Iterator[dict[str, str]]:
    """Yield rows of a table named as in its first line, or image and caption where it has no head."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in DELIMITERS:
        head = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        kinds = {field(name) for name in head}
        if {"image", "caption"} <= kinds:
            check_columns(path, head)
            break
    else:
        delimiter = next((mark for mark in DELIMITERS if mark in first), "")
        name = first.partition(delimiter)[0] if delimiter else ""
        if Path(name.strip('"')).suffix.lower() not in PICTURES:
            received = f"a file that begins with {first[:80]!r}" if first else "an empty file"
            raise InputError(f"{path}: expected {FORMS}; received {received}")
        head, text = ["image", "caption"], f"\n{text}"
    quoted = delimiter in ",;" or f'{delimiter}"' in text
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,  # a quote that nobody closes would swallow the rest
    )
    try:
        for number, cells in enumerate(reader):
            if number == 0 or not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(head) and field(head[-1]) == "caption":  # with the delimiter, not quoted
                cells = [*cells[: len(head) - 1], delimiter.join(cells[len(head) - 1 :])]
            if len(cells) != len(head):
                raise InputError(
                    f"{path}: line {reader.line_num}: expected {len(head)} columns, received {len(cells)}"
                )
            yield dict(zip(head, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: expected a table, received: {error}") from None


def _read_folder(path: Path, pictures: Path) -> Found:
    for name in ("metadata.csv", "metadata.jsonl"):
        if (path / name).is_file():
            return read_captions(path / name, pictures)
    if tables := sorted(path.rglob("*.parquet")):
        from recap.importing.parquet import read_parquet

        return read_parquet(tables, pictures)
    found = []
    for image in sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES):
        beside = [words for ending in (".txt", ".TXT") if (words := image.with_suffix(ending)).is_file()]
        own = decode(read_file(beside[0]))[0].splitlines() if beside else []
        name = image.relative_to(path).as_posix()
        split = SPLITS.get(name.partition("/")[0].lower())
        found.append(Picture(name, tuple(line for line in own if line.strip()), split))
    if not any(picture.captions for picture in found):
        raise InputError(f"{path}: expected {FORMS}; received a folder without any of them")
    return Found("pictures with a .txt beside each", found, path)

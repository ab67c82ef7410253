"""Captions in every form that `recap init` reads, and its options."""

import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet
from tests.fuzz.mutations import TEXTS, json_bytes, mutate_bytes, mutate_json
from tests.fuzz.surface import Failed, run_command

from recap.core.input_files import read_json
from recap.errors import InputError
from recap.text.coco_files import check_coco_captions

ROOT = Path(__file__).resolve().parents[3]
NAMES = tuple(f"{number}.png" for number in range(6))
SAID = ("A cat on the grass.", 'Two dogs, a "ball"!', "लड़का | खेलता है")
OPTIONS = (
    ["--images=images"],
    ["--images=nowhere"],
    ["--images=pairs.csv"],
    ["--weights=a.pth"],
    ["--weights="],
)
PAIRS = [(name, text) for name in NAMES for text in SAID]
JSON: dict[str, Any] = {
    "coco.json": {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(NAMES)],
        "annotations": [
            {"id": 1, "image_id": number, "caption": text} for number in range(6) for text in SAID
        ],
    },
    "karpathy.json": {
        "images": [
            {
                "filename": name,
                "cocoid": number,
                "split": "train",
                "sentences": [{"raw": text} for text in SAID],
            }
            for number, name in enumerate(NAMES)
        ]
    },
    "list.json": [{"image": name, "captions": list(SAID), "split": "train"} for name in NAMES],
}
TABLES = {
    "pairs.csv": "image,caption\n" + "".join(f'{name},"{text}"\n' for name, text in PAIRS if '"' not in text),
    "pairs.tsv": "split\timage\tcaption\n" + "".join(f"train\t{name}\t{text}\n" for name, text in PAIRS),
    "no_head.txt": "".join(f"{name};{text}\n" for name, text in PAIRS),
    "token.txt": "".join(f"{name}#0\t{text}\n" for name, text in PAIRS),
}
FORMS = (*JSON, *TABLES, "lines.jsonl", "data.parquet", "pairs/0.txt")


def _parquet(value: list[Any]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(value), file)
    return file.getvalue()


class Imports:
    def __init__(self) -> None:
        for folder in ("images", "pairs"):
            Path(folder).mkdir()
            for number, name in enumerate(NAMES):
                pixels = np.full((4, 4, 3), 40 * number, np.uint8)
                Image.fromarray(pixels).save(Path(folder, name))
                Path(folder, name).with_suffix(".txt").write_text("\n".join(SAID))
        self.params = (ROOT / "params.yaml").read_bytes()

    def draw(self, generator: random.Random) -> bytes:
        form = generator.choice(FORMS)
        options = generator.choice(OPTIONS) if generator.random() < 0.2 else []
        if generator.random() < 0.1:
            options = [*options, f"--images={generator.choice(TEXTS)}"]
        return json.dumps([form, options]).encode() + b"\n" + self._content(form, generator)

    def _content(self, form: str, generator: random.Random) -> bytes:
        by_value = generator.random() < 0.6
        if form in JSON:
            value = mutate_json(JSON[form], generator) if by_value else JSON[form]
            content = json_bytes(value)
        elif form == "lines.jsonl":
            rows = [mutate_json(row, generator) if by_value else row for row in JSON["list.json"]]
            content = b"\n".join(map(json_bytes, rows))
        elif form == "data.parquet":
            rows = [
                {"image": {"bytes": Path("images", name).read_bytes(), "path": name}, "caption": text}
                for name, text in PAIRS
            ]
            content = _parquet(rows)
            by_value = False
        elif form == "pairs/0.txt":
            content = "\n".join(SAID).encode()
            by_value = False
        else:
            text = TABLES[form]
            if by_value:
                cells = text.split(generator.choice((",", "\t", ";", "\n")))
                cells[generator.randrange(len(cells))] = generator.choice(TEXTS)
                text = generator.choice((",", "\t", ";", "\n", "|")).join(cells)
            content = text.encode(generator.choice(("utf-8", "utf-8", "utf-16", "utf-8-sig")), "replace")
        return content if by_value else mutate_bytes(content, generator)

    def run(self, content: bytes) -> bool:
        head, _, captions = content.partition(b"\n")
        form, options = json.loads(head)
        Path("params.yaml").write_bytes(self.params)
        Path(form).write_bytes(captions)
        source = "pairs" if form.startswith("pairs/") else form
        # no command line has NUL, or halves of letters that are no bytes
        options = [text.replace("\0", "").replace("\ud83d", "") for text in options]
        try:
            run_command(["init", "new", "--from", source, *options], codes=(0,))
            return self._check_project()
        except InputError:
            if Path("params.yaml").read_bytes() != self.params or list(Path().glob("*new*")):
                raise Failed("expected no project and the settings as they were") from None
            raise
        finally:
            shutil.rmtree("new", ignore_errors=True)
            if form in ("pairs/0.txt",):
                Path(form).write_text("\n".join(SAID))
            else:
                Path(form).unlink()

    def _check_project(self) -> bool:
        for path in Path("new").glob("*.json"):
            check_coco_captions(read_json(path), str(path))
        run_command(["config", "--check"], codes=(0,))
        return True

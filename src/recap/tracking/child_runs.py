"""The run of a stage: its params, numbers, curves, data and artifacts, read from files and its journal."""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from recap.core import paths
from recap.core.image_files import read_image
from recap.tracking.models import register
from recap.tracking.store import Store, Tag
from recap.tracking.views import headline_metrics
from recap.workspace.definition import flatten, flatten_numbers
from recap.workspace.journal import Point, curve_points
from recap.workspace.lock_file import Entry, Outputs, entry_params, stage_key

KEPT_ARTIFACTS = (".csv", ".html", ".json", ".png", ".svg")
LARGEST_ARTIFACT = 8 * 2**20  # bytes; weights and data stay in DVC, whose MD5 the run names
METRICS_FILES = ("metrics.json", "summary.json")
CAPTION_FILES = ("per_image.json", "captions.json")  # the first that is there has the table of captions
CAPTION_TABLE = "captions.json"
COLUMNS = ("image_id", "caption", "part", "cider_d")  # MLflow compares the second
MOST_PICTURES, SIDE = 100, 344
"""Of MLflow's square boxes the comparison shows the upper half; a picture grows to its own size at most."""
IMAGES = (paths.RAW / "images" / "test").as_posix()
NAMES = (paths.RAW / "annotations" / "captions_test.json").as_posix()
Curves = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Record:
    """A stage that ran, or whose outputs are here."""

    stage: str  # such as train/lstm
    params: Mapping[str, Any]  # of the whole pipeline
    outputs: Outputs  # of the pipeline
    settings: Mapping[str, Any] = field(default_factory=dict)  # of a stage that failed
    events: Sequence[Mapping[str, Any]] = ()  # of its journal
    metrics: frozenset[str] = frozenset()  # the files of metrics that dvc.yaml names

    @property
    def entry(self) -> Entry:
        """What dvc.lock says of the stage; nothing of one that failed."""
        return self.outputs.lock.get(self.stage.replace("/", "@"), {})

    @cached_property
    def files(self) -> dict[str, str]:
        """The files of the stage's outputs: path -> MD5."""
        return self.outputs.files([out["path"] for out in self.entry.get("outs", [])])

    @property
    def key(self) -> str:
        """What determines the outputs."""
        return stage_key(self.stage.replace("/", "@"), self.entry)

    def content(self, path: str) -> bytes:
        """Read one of the files."""
        return self.outputs.content(path, self.files[path])

    def numbers(self) -> dict[str, float]:
        """Read single numbers: those that the stage logged, and its metrics files."""
        found: dict[str, float] = {}
        for event in self.events:
            if event.get("step") is None:
                found |= event.get("metrics", {})
        for path in sorted(self.files):
            if path in self.metrics or Path(path).name in METRICS_FILES:
                values = json.loads(self.content(path))
                found |= flatten_numbers(values) if isinstance(values, dict) else {}
        return found

    def points(self, moment: int) -> Iterator[Point]:
        """Yield the points of curves: those logged, else those in history files, which get the moment."""
        logged = list(curve_points(self.events))
        yield from logged
        histories = [path for path in self.files if fnmatch(f"/{path}", "*/history*.csv")]
        curves = read_curves(self.content(path).decode() for path in histories)
        for name in curves.keys() - {point[0] for point in logged}:
            yield from ((name, value, moment, step) for step, value in curves[name])


def write_run(store: Store, run: str, parent: str, record: Record, moment: int) -> None:
    """Write all of a stage's run but its end; a second call adds what is lacking.

    The moment, in milliseconds since 1970, is that of numbers and of curves in files. Raises OSError where an
    output is not here or a folder takes no artifacts, and whatever the store raises.
    """
    entry, points, numbers = record.entry, list(record.points(moment)), record.numbers()
    # MLflow would draw a number with a curve's name as a point of it; the parent has it
    single = numbers.keys() - {point[0] for point in points}
    points += [(name, numbers[name], moment, 0) for name in single]
    names = store.client.get_run(run).data.metrics  # of points sent twice MLflow takes long to find the first
    sent = [own for name in names for own in store.client.get_metric_history(run, name)]
    known = {(own.key, own.value, own.timestamp, own.step) for own in sent}
    new = (point for point in points if point not in known)
    store.log(run, flatten(entry_params(entry)) if entry else record.settings, new)
    headline = headline_metrics(record.stage, numbers)
    store.log(parent, {}, [(name, number, moment, 0) for name, number in headline.items()])
    if not entry:
        return
    store.client.set_tag(run, Tag.KEY, record.key)
    store.log_inputs(run, record.outputs.inputs(entry))
    _log_artifacts(store, run, parent, record)
    decoder = record.stage.removeprefix("evaluate/")
    if (score := headline.get(f"{decoder}.cider_d")) is not None:
        register(store, record, run, decoder, score)


def _log_artifacts(store: Store, run: str, parent: str, record: Record) -> None:
    """Log the outputs that people can look at, and the table of captions in MLflow's form."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for path in sorted(record.files):
            if not path.endswith(KEPT_ARTIFACTS) or path.startswith("data/"):
                continue
            if len(content := record.content(path)) <= LARGEST_ARTIFACT:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
                if path.endswith(".html"):
                    store.client.log_artifact(parent, str(folder / path))
        tables = [path for name in CAPTION_FILES for path in record.files if path.endswith(f"/{name}")]
        for path in tables[:1]:
            _write_caption_table(folder, json.loads(record.content(path)), record.outputs)
            logged = json.dumps([{"path": CAPTION_TABLE, "type": "table"}])
            store.client.set_tag(run, "mlflow.loggedArtifacts", logged)
        if any(folder.iterdir()):
            store.client.log_artifacts(run, place)


def _write_caption_table(folder: Path, rows: Sequence[Mapping[str, Any]], outputs: Outputs) -> None:
    """Write a table as MLflow's ``log_table`` does: a row a test image, pictures of the first ones."""
    columns = [column for column in COLUMNS if rows and column in rows[0]]
    data = [[row[column] for column in columns] for row in rows]
    cells = {}
    with suppress(FileNotFoundError, KeyError):  # the pipeline has no images, or they are not here
        files = outputs.files([IMAGES, NAMES])
        images = json.loads(outputs.content(NAMES, files[NAMES]))["images"]
        for place, image in enumerate(images[:MOST_PICTURES]):
            path = f"{IMAGES}/{image['file_name']}"
            picture = _draw_in_square(outputs.content(path, files[path]))
            cells[image["id"]] = _write_picture(folder, picture, str(place))
    if cells:
        columns.append("picture")
        blank = _write_picture(folder, _draw_in_square(b""), "none")  # a cell must have one
        data = [[*own, cells.get(row.get("image_id"), blank)] for own, row in zip(data, rows, strict=True)]
    (folder / CAPTION_TABLE).write_text(json.dumps({"columns": columns, "data": data}), encoding="utf-8")


@lru_cache(maxsize=MOST_PICTURES + 1)  # all decoders describe the same images
def _draw_in_square(content: bytes) -> bytes:
    square = Image.new("RGBA", (SIDE, SIDE) if content else (1, 1))
    if content:
        picture = ImageOps.contain(read_image(io.BytesIO(content)), (SIDE, SIDE // 2))
        square.paste(picture, ((SIDE - picture.width) // 2, 0))
    square.save(file := io.BytesIO(), "webp", quality=90)
    return file.getvalue()


def _write_picture(folder: Path, picture: bytes, name: str) -> dict[str, str]:
    path = f"pictures/{name}.webp"
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(picture)
    return {"type": "image", "filepath": path, "compressed_filepath": path}


def read_curves(histories: Iterable[str]) -> Curves:
    """Read the curves of CSV tables with a column ``step`` or ``epoch``: name -> (step, value).

    A curve that one table has by step and another by epoch is read by step; columns of words are left out.
    """
    tables = [table for text in histories if (table := list(csv.DictReader(io.StringIO(text))))]
    curves: Curves = {}
    for table in sorted(tables, key=lambda table: "step" in table[0]):  # a later one replaces an earlier one
        axis = "step" if "step" in table[0] else "epoch"
        for name in table[0].keys() - {"step", "epoch"}:
            with suppress(KeyError, ValueError):
                curves[name] = [(int(row[axis]), float(row[name])) for row in table if row[name]]
    return curves

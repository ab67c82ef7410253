"""The run of a stage: its params, numbers, curves, data and artifacts, read from files and its journal."""

import csv
import io
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from recap.tracking.caption_table import write_caption_table
from recap.tracking.models import register
from recap.tracking.store import Point, Store, Tag, describe_error
from recap.tracking.views import flatten_numbers, headline_metrics
from recap.workspace.definition import flatten
from recap.workspace.lock_file import Entry, Outputs, entry_params, stage_key

KEPT_ARTIFACTS = (".csv", ".html", ".json", ".png", ".svg")
LARGEST_ARTIFACT = 8 * 2**20  # bytes; weights and data stay in DVC, whose MD5 the run names
MOST_ARTIFACTS = 100
METRICS_FILES = ("metrics.json", "summary.json")
CAPTION_FILES = ("per_image.json", "captions.json")  # the first that is there has the table of captions
Curves = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Record:
    """A stage that ran, or whose outputs are here."""

    stage: str  # such as train/lstm
    params: Mapping[str, Any]  # of the whole pipeline
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the stage, where it has no entry
    events: Sequence[Mapping[str, Any]] = ()  # of its journal
    entry: Entry | None = None  # of dvc.lock; None for a stage that failed
    outputs: Outputs | None = None  # of the pipeline
    metrics: frozenset[str] = frozenset()  # the files of metrics that dvc.yaml names

    @cached_property
    def files(self) -> dict[str, str]:
        """The files of the stage's outputs: path -> MD5."""
        if self.entry is None or self.outputs is None:
            return {}
        return self.outputs.files([out["path"] for out in self.entry.get("outs", [])])

    def content(self, path: str) -> bytes:
        """Read one of the files."""
        assert self.outputs is not None
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
        logged = [event for event in self.events if event.get("step") is not None]
        for event in logged:
            for name, value in event["metrics"].items():
                yield name, value, event["moment"], event["step"]
        known = {name for event in logged for name in event["metrics"]}
        names = [path for path in self.files if path.endswith(".csv")]
        histories = [path for path in names if Path(path).name.startswith("history")]
        for name, curve in read_curves(self.content(path).decode() for path in histories).items():
            if name not in known:
                yield from ((name, value, moment, step) for step, value in curve)


def write_run(store: Store, run: str, parent: str, record: Record, moment: int) -> OSError | None:
    """Write all of a stage's run but its end; a second call adds what is lacking.

    Args:
        store: receives it.
        run, parent: ids of the stage's and the pipeline's run.
        record: of the stage.
        moment: of numbers and curves in files, in milliseconds since 1970.

    Returns:
        What kept a part from being written: an output that is not here, or a folder that takes no artifacts.
    """
    entry = record.entry
    own = dict(record.settings) if entry is None else flatten(entry_params(entry))
    store.log_params(run, own)
    try:
        points = list(record.points(moment))
        numbers, curves = record.numbers(), {point[0] for point in points}
        store.log_points(run, points)
        # MLflow would draw a number with a curve's name as a point of it; the parent has it
        store.log_numbers(run, {name: own for name, own in numbers.items() if name not in curves}, moment)
        store.log_numbers(parent, headline_metrics(record.stage, numbers), moment)
        if entry is None or record.outputs is None:
            return None
        store.client.set_tag(run, Tag.KEY, stage_key(record.stage.replace("/", "@"), entry))
        store.log_inputs(run, record.outputs.inputs(entry))
        _log_artifacts(store, run, parent, record)
        if record.stage.startswith("evaluate/"):
            register(store, record, run, numbers)
    except OSError as error:
        store.client.set_tag(run, Tag.LACKING, describe_error(error, store.environment))
        return error
    if Tag.LACKING in store.client.get_run(run).data.tags:
        store.client.delete_tag(run, Tag.LACKING)
    return None


def _log_artifacts(store: Store, run: str, parent: str, record: Record) -> None:
    """Log the outputs that people can look at, and the table of captions in MLflow's form."""
    shown = [path for path in sorted(record.files) if path.endswith(KEPT_ARTIFACTS)]
    contents = ((path, record.content(path)) for path in shown if not path.startswith("data/"))
    small = ((path, content) for path, content in contents if len(content) <= LARGEST_ARTIFACT)
    with tempfile.TemporaryDirectory() as folder:
        for path, content in itertools.islice(small, MOST_ARTIFACTS):
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            if path.endswith(".html"):
                store.client.log_artifact(parent, str(target))
        paths = {Path(path).name: path for path in record.files}
        for name in [name for name in CAPTION_FILES if name in paths][:1]:
            assert record.outputs is not None
            table = write_caption_table(Path(folder), json.loads(record.content(paths[name])), record.outputs)
            tables = json.dumps([{"path": table, "type": "table"}])
            store.client.set_tag(run, "mlflow.loggedArtifacts", tables)
        if any(Path(folder).iterdir()):
            store.client.log_artifacts(run, folder)


def read_curves(histories: Iterable[str]) -> Curves:
    """Read the curves of CSV tables with a column ``step`` or ``epoch``: name -> (step, value).

    A curve that one table has by step and another by epoch is read by step; columns of words are left out.
    """
    curves: Curves = {}
    tables = [list(csv.DictReader(io.StringIO(text))) for text in histories]
    for axis in ("step", "epoch"):
        known = {"step", "epoch", *curves}
        for table in tables:
            columns = list(table[0]) if table else []
            if axis not in columns or (axis == "epoch" and "step" in columns):
                continue
            for name in (column for column in columns if column not in known):
                points = [(int(row[axis]), row[name]) for row in table if row[name]]
                with suppress(ValueError):
                    curves[name] = [(step, float(value)) for step, value in points]
    return curves

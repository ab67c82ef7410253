"""Reads what the stages wrote, as far as the page shows it. N test images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.hashes import hash_output
from recap.core.input_files import read_json
from recap.core.raw_data import SPLITS, RawData, load_raw
from recap.errors import InputError
from recap.report.config import ReportConfig
from recap.report.describe import describe
from recap.report.images import stand_in
from recap.report.readers import Split, Table, load_split, read_rows, read_table
from recap.report.selection import Selection, select
from recap.text.captions import Captions, load_captions

_VERSION = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)

SEEDS = Path("docs", "seeds")
SPECTRUM = paths.REDUCED / "spectrum.csv"
BACKBONE_METRICS, VISION_METRICS = paths.metrics_of("backbone"), paths.metrics_of("visualize")
READ = (
    *(paths.CAPTIONS, paths.RAW, SPECTRUM, SEEDS, paths.MODELS, BACKBONE_METRICS, paths.DECODERS),
    *(paths.SANITY, paths.VISION, VISION_METRICS, paths.REQUIREMENTS),
)
"""What the stage `report` depends on, its code left out."""


@dataclass(frozen=True)
class Decoder:
    """A trained decoder and what `evaluate` found.

    Attributes:
        name: "rnn", "lstm", "transformer".
        summary: of its training: parameters, epochs, best_epoch and that epoch's losses.
        history: a row an epoch.
        captions: N, one a test image, in row order.
        per_image: N, scores of each caption, in row order.
        metrics: metrics.json; groups in it are parts of the test set.
    """

    name: str
    summary: dict[str, float]
    history: Table
    captions: list[str]
    per_image: list[dict[str, Any]]
    metrics: dict[str, Any]

    @property
    def parts(self) -> list[str]:
        """The parts of the test set that are scored apart, as in the file."""
        return [name for name, value in self.metrics.items() if isinstance(value, dict)]


@dataclass(frozen=True)
class Sanity:
    """What the stage `sanity` found.

    Attributes:
        gradients: a row a gradient: "function", "gradient", "error", "threshold", "passed".
        curves: steps and losses of each decoder.
        captions: a row a decoder and training image: "decoder", "image", "caption", "generated".
        metrics: of each decoder "final_loss", "bar", "passed", "word_for_word".
    """

    gradients: list[dict[str, Any]]
    curves: dict[str, tuple[list[float], list[float]]]
    captions: list[dict[str, str]]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """Everything that the page tells.

    Attributes:
        description: what ``recap.report.describe`` finds in the data.
        backbone_losses: steps and losses by phase of its training; empty when it was not trained here.
        sanity: None when the stage `sanity` did not run.
        seeds: what `recap seeds` found, of this pipeline or another; empty where it never ran.
        pictures: entries of the index.json of `visualize`.
        vision_metrics: what `visualize` measured, by kind of picture.
        params: all settings, by group.
        selection: the images to show.
        seed: of the tests of scores.
        hashes: by path in the repository, the MD5 of what the page was made from.
        versions: of the libraries that requirements.lock names.
        fetched: by URL, the image file or why there is none; for a source that has URLs only.
    """

    raw: RawData
    splits: dict[str, Split]
    description: dict[str, Any]
    captions: Captions
    backbone_losses: dict[str, tuple[list[float], list[float]]]
    backbone_metrics: dict[str, Any]
    spectrum: Table
    decoders: list[Decoder]
    sanity: Sanity | None
    seeds: dict[str, Any]
    pictures: list[dict[str, Any]]
    vision_metrics: dict[str, Any]
    vision: Path
    params: dict[str, Any]
    selection: Selection
    seed: int
    hashes: dict[str, str]
    versions: dict[str, str]
    fetched: Mapping[str, Path | str]

    def shown_image(self, split: str, row: int) -> dict[str, Any]:
        """Return what stands for the image of a row, as ``stand_in`` does."""
        image = self.splits[split].images[row]
        if self.raw.source.images:
            return stand_in(image, self.raw.directory / "images" / split / image["file_name"])
        return stand_in(image, self.fetched.get(str(image.get("url", ""))))

    def urls(self) -> list[str]:
        """Return where the images to show are that the source itself does not have."""
        if self.raw.source.images:
            return []
        shown = {"test": self.selection.gallery, "train": self.selection.training}
        images = [self.splits[split].images[row] for split, rows in shown.items() for row in rows]
        return [image["url"] for image in images if "url" in image]

    @property
    def parts(self) -> list[str]:
        """The parts of the test set that are scored apart."""
        return self.decoders[0].parts


def load_inputs(root: Path, decoders: Sequence[str], params: dict[str, Any], config: ReportConfig) -> Inputs:
    """Read the outputs of all stages before `report`.

    Args:
        root: the folder that holds them, as a checkout does.
        decoders: which decoders the page shows, in this order.
        params: the settings that made all of it, to be listed.
        config: the group `report`.

    Raises:
        InputError: a file is absent, unreadable, or its rows are not the test images.
    """
    raw = load_raw(root / paths.RAW)
    splits = {split: load_split(raw, split) for split in SPLITS}
    ids = [image["id"] for image in splits["test"].images]
    return Inputs(
        raw=raw,
        splits=splits,
        description=describe(
            root / paths.RAW, root / paths.CAPTIONS, root / paths.REDUCED, samples=0, seed=0
        ),
        captions=load_captions(root / paths.CAPTIONS),
        backbone_losses=_losses(root / paths.BACKBONE / "history.csv", "phase"),
        backbone_metrics=read_json(root / BACKBONE_METRICS),
        spectrum=read_table(root / SPECTRUM),
        decoders=[
            load_decoder(root / paths.DECODERS / name, root / paths.MODELS / name, ids) for name in decoders
        ],
        sanity=_sanity(root / paths.SANITY),
        seeds=read_json(seeds) if (seeds := root / SEEDS / "seeds.json").exists() else {},
        pictures=read_json(root / paths.VISION / "index.json"),
        vision_metrics=read_json(root / VISION_METRICS),
        vision=root / paths.VISION,
        params=params,
        selection=select(splits, config),
        seed=config.seed,
        hashes={path.as_posix(): hash_output(root / path) for path in READ if (root / path).exists()},
        versions=dict(_VERSION.findall((root / paths.REQUIREMENTS).read_text(encoding="utf-8"))),
        fetched={},
    )


def _losses(path: Path, by: str) -> dict[str, tuple[list[float], list[float]]]:
    """Read steps and losses of a CSV file by the value of a column; none when it is absent."""
    if not path.exists():
        return {}
    header, rows = read_rows(path)
    group, step, loss = (header.index(name) for name in (by, "step", "loss"))
    losses: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        steps, values = losses.setdefault(row[group], ([], []))
        steps.append(float(row[step]))
        values.append(float(row[loss]))
    return losses


def _sanity(folder: Path) -> Sanity | None:
    if not (folder / "metrics.json").exists():
        return None
    header, rows = read_rows(folder / "captions.csv")
    return Sanity(
        gradients=read_json(folder / "gradients.json"),
        curves=_losses(folder / "curves.csv", "decoder"),
        captions=[dict(zip(header, row, strict=True)) for row in rows],
        metrics=read_json(folder / "metrics.json"),
    )


def load_decoder(reports: Path, model: Path, ids: Sequence[Any]) -> Decoder:
    """Read what `train` and `evaluate` wrote of a decoder.

    Raises:
        InputError: a file is absent, unreadable, or its rows are not the images with these ids.
    """
    results, per_image = read_json(reports / "captions.json"), read_json(reports / "per_image.json")
    for path, rows in ((reports / "captions.json", results), (reports / "per_image.json", per_image)):
        if [row["image_id"] for row in rows] != list(ids):
            raise InputError(f"{path}: expected a row for each of the {len(ids)} test images in order")
    return Decoder(
        name=model.name,
        summary=read_json(model / "summary.json"),
        history=read_table(model / "history.csv"),
        captions=[row["caption"] for row in results],
        per_image=per_image,
        metrics=read_json(reports / "metrics.json"),
    )

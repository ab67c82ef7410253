"""Reads what a pipeline found, from a working tree or a commit: settings, scores, captions, images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.artifacts import write_bytes
from recap.core.input_files import read_json
from recap.core.raw_data import RawData, load_raw
from recap.errors import InputError
from recap.report.inputs import Decoder, load_decoder
from recap.report.readers import Split, load_split
from recap.text.vocabulary import Vocabulary, parse_vocabulary
from recap.workspace.definition import flatten
from recap.workspace.git import ask_git
from recap.workspace.lock_file import entry_params, overlap
from recap.workspace.pipeline import Pipeline, open_pipeline, open_repository

DECODER_FILES = ("captions.json", "per_image.json", "metrics.json")
MODEL_FILES = ("summary.json", "history.csv")
RAW_FILES = ("source.json", "captions_test.json")
TEST_IMAGES = paths.RAW / "images" / "test"


@dataclass(frozen=True)
class Side:
    """A pipeline as the page shows it."""

    name: str  # the revision, or "this checkout"
    settings: dict[str, Any]  # what its outputs were made with, by their path in params.yaml
    files: dict[str, str]  # MD5 of code and of files that no stage makes, by path
    raw: RawData
    test: Split  # the test images, with their captions by people
    digests: dict[Any, str]  # by image id, in the order of ``test``, what the image is known by
    vocabulary: Vocabulary
    decoders: list[Decoder]  # in the order of dvc.yaml
    bring: Callable[
        [Path, Path], Path
    ]  # writes an output's file into a folder, under its path; returns where


@contextmanager
def open_sides(root: Path, revision: str, folder: Path) -> Iterator[tuple[Side, Side]]:
    """Read a revision or an experiment of DVC, and the checkout; files go to a folder, which is empty.

    Raises:
        InputError: git refuses the checkout, nobody knows the revision, or outputs of one are not here.
    """
    from dvc.scm import RevError, resolve_rev

    with open_repository(root) as repo:
        ask_git(root, "rev-parse")  # pygit2 has an error of its own for a checkout of another user
        try:
            commit = resolve_rev(repo.scm, revision)
        except RevError:
            raise InputError(
                f"--compare: expected a revision of git or an experiment of DVC, received {revision!r}"
            ) from None
        with open_pipeline(repo) as pipeline:
            here = _read(pipeline, "this checkout", folder / "this")
        with open_pipeline(repo, commit) as pipeline:
            yield _read(pipeline, revision, folder / "base"), here


def _read(pipeline: Pipeline, name: str, folder: Path) -> Side:
    recorded = pipeline.outputs.lock
    lock = {stage: recorded[stage] for stage in pipeline.stages if stage in recorded}  # in dvc.yaml's order
    decoders = [stage.removeprefix("evaluate@") for stage in lock if stage.startswith("evaluate@")]
    if not decoders:
        raise InputError(f"{name}: expected a dvc.lock with the stage evaluate, received one without")
    outputs, vocabulary = pipeline.outputs, paths.CAPTIONS / "vocabulary.json"
    made = outputs.files(map(str, (paths.RAW, paths.CAPTIONS, paths.DECODERS, paths.MODELS)))

    def bring(path: Path, folder: Path) -> Path:
        wanted = path.as_posix()
        try:
            write_bytes(folder / path, outputs.content(wanted, made[wanted]))
        except (KeyError, FileNotFoundError):
            raise InputError(
                f"{name}: expected {wanted} in DVC's cache or in its place, received none; `dvc fetch "
                "--all-commits` brings it from a remote, `dvc repro` makes it again"
            ) from None
        return folder / path

    for path in [
        *(paths.RAW / "annotations" / file for file in RAW_FILES),
        vocabulary,
        *(paths.DECODERS / own / file for own in decoders for file in DECODER_FILES),
        *(paths.MODELS / own / file for own in decoders for file in MODEL_FILES),
    ]:
        bring(path, folder)
    raw = load_raw(folder / paths.RAW)
    test = load_split(raw, "test")
    digests = {
        image["id"]: made.get(f"{TEST_IMAGES.as_posix()}/{image['file_name']}") or str(image.get("url"))
        for image in test.images
    }
    settings: dict[str, Any] = {}
    for stage in sorted(lock, key="report".__ne__):  # it lists all settings, and may be older than the rest
        settings |= flatten(entry_params(lock[stage]))
    deps = [dep for entry in lock.values() for dep in entry.get("deps", [])]
    return Side(
        name=name,
        settings=settings,
        files={
            dep["path"]: dep.get("md5", "")
            for dep in deps
            if not any(overlap(dep["path"], output) for output in outputs.made)
        },
        raw=raw,
        test=test,
        digests=digests,
        vocabulary=parse_vocabulary(read_json(folder / vocabulary), f"{name}: {vocabulary}"),
        decoders=[
            load_decoder(folder / paths.DECODERS / own, folder / paths.MODELS / own, list(digests))
            for own in decoders
        ],
        bring=bring,
    )

"""Every decoder under several seeds: DVC runs what is lacking, and the scores become one comparison."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from recap.core import paths
from recap.core.artifacts import write_text
from recap.core.config import read_content, read_values
from recap.errors import InputError
from recap.experiments.experiment import base_digest, run_experiment
from recap.experiments.interruption import put_back
from recap.experiments.scores import Scores, format_scores, read_scores, summarize
from recap.metrics.files.tables import Style
from recap.runtime.writer import only_writer
from recap.tracking.importer import bring
from recap.tracking.store import Store, Tag, describe_error, equals
from recap.workspace.definition import flatten
from recap.workspace.journal import milliseconds
from recap.workspace.lock_file import digest
from recap.workspace.pipeline import open_pipeline, open_repository

SETTING = "train.seed"
STYLES: dict[str, Style] = {"md": "markdown", "tex": "latex"}
TAG = "recap.comparison"
NOTE_LENGTH = 5000  # what every store of MLflow takes


def compare_seeds(root: Path, count: int, environment: Mapping[str, str], output: Path) -> Iterator[str]:
    """Run what is lacking of ``count`` seeds from `train.seed` on; write and record the comparison.

    Each seed is an experiment of DVC in which the stages `train` and `evaluate` run; what is there already is
    not run again, so a command that was killed goes on. ``output`` is the path of the files .json, .md and
    .tex without their ending. Yields lines that tell what is done.

    Raises:
        InputError: an experiment failed, or another process runs seeds here.
    """
    if not output.name or output.is_dir():
        raise InputError(
            f"--output: expected the path of files without their ending, received {str(output)!r}"
        )
    with only_writer("experiments", folder=root / paths.LOCKS):
        put_back(root)
        seeds = name_seeds(root, count)
        revisions: dict[str, str] = {}
        for number, (name, seed) in enumerate(seeds.items(), start=1):
            yield f"seed {number} of {count}: {name}"
            revisions[name] = run_experiment(root, name, {SETTING: seed}, ["evaluate"], environment)
        runs: list[Scores] = []
        with open_repository(root) as repo:
            for name, revision in revisions.items():
                with open_pipeline(repo, revision) as pipeline:
                    try:
                        runs.append(read_scores(name, pipeline))
                    except FileNotFoundError as error:
                        raise InputError(
                            f"{name}: expected its scores, received: {error}; dvc pull"
                        ) from None
        if not runs[0].metrics:
            raise InputError(f"{next(iter(revisions))}: expected scores in reports/decoders, received none")
        summary = summarize(runs)
        write_text(_with_ending(output, "json"), json.dumps(summary, indent=1) + "\n")
        for ending, style in STYLES.items():
            write_text(_with_ending(output, ending), format_scores(summary, style) + "\n")
        bring(environment, None, root, everything=True)
        try:
            record_comparison(Store(environment), summary)
        except Exception as error:  # a store can fail in any way
            reason = describe_error(error, environment)
            yield f"warning: MLflow: {reason}; the same command records it later"
        yield format_scores(summary, "text")


def name_seeds(root: Path, count: int) -> dict[str, int]:
    """Return the names of the experiments, and the seed of each.

    Raises:
        InputError: params.yaml cannot be read, or has no seed.
    """
    values = read_values(read_content(root / paths.PARAMS, "a params file"), root / paths.PARAMS)
    first = flatten(values).get(SETTING)
    if not isinstance(first, int):
        raise InputError(f"{root / paths.PARAMS}: expected the setting {SETTING}, received none")
    base = base_digest(root, [SETTING])
    return {f"seed-{seed}-{base}": seed for seed in range(first, first + count)}


def _with_ending(output: Path, ending: str) -> Path:
    name = output.stem if output.suffix[1:] in ("json", *STYLES) else output.name
    return output.with_name(f"{name}.{ending}")  # what follows another dot stays: docs/seeds.v2


def record_comparison(store: Store, summary: Mapping[str, Any]) -> None:
    """Bring a comparison to MLflow as one run.

    Its metrics are curves over the seeds, with mean and standard deviation beside them; its description is
    the table, which names the runs. What is there already is left alone; what a kill cut short is finished.
    """
    identity = digest(summary)
    begun = store.search(equals(TAG, identity))
    if any(run.info.status == "FINISHED" for run in begun):
        return
    runs, table = summary["runs"], format_scores(summary, "markdown")
    tags = {TAG: identity, Tag.NOTE: table[:NOTE_LENGTH], "mlflow.source.name": "recap seeds"}
    title = f"{len(runs)} seeds from {runs[0]}"
    info = (begun[0] if begun else store.create_run(title, milliseconds(), tags, identity)).info
    run, moment = info.run_id, info.start_time
    points = []
    for name, values in flatten(summary["values"]).items():
        points += [(name, value, moment, step) for step, value in enumerate(values)]
        points.append((f"{name}.mean", fmean(values), moment, 0))
        if len(values) > 1:
            points.append((f"{name}.standard_deviation", stdev(values), moment, 0))
    store.log(run, {f"run.{step}": name for step, name in enumerate(runs)}, points)
    for ending, style in STYLES.items():
        store.client.log_text(run, format_scores(summary, style), f"seeds.{ending}")
    store.client.set_terminated(run)

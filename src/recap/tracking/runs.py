"""`recap runs`: the runs that made a file, and the list of pipelines."""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from recap.core.hashes import hash_output
from recap.errors import InputError
from recap.metrics.files.tables import format_rows
from recap.tracking.store import Store, Tag, describe_error, equals
from recap.workspace.lock_file import made_outputs, overlap, parse_lock, stage_key, title
from recap.workspace.root import check_checkout, repository_root

if TYPE_CHECKING:
    from mlflow.entities import Run

FACTS = {
    "pipeline": Tag.PARENT,
    "commit": Tag.COMMIT,
    "dirty": Tag.DIRTY,
    "DVC experiment": Tag.EXPERIMENT_NAME,
    "reason": Tag.REASON,
}


def open_store(environment: Mapping[str, str]) -> Store:
    """Connect to the store; InputError where this is no checkout, or the store cannot be reached."""
    check_checkout(environment)
    try:
        return Store(environment)
    except Exception as error:  # MLflow, SQLAlchemy and requests each have their own
        reason = describe_error(error, environment)
        raise InputError(f"MLflow: expected a store that answers, received: {reason}") from None


def runs_of_file(environment: Mapping[str, str], path: str) -> Iterator[str]:
    """Describe what made an output, or a file or folder in or around outputs: stages, runs, params and data.

    Raises InputError where dvc.lock does not have it, or the store cannot be reached.
    """
    root = repository_root(environment)
    relative = os.path.relpath(path, root)
    lock = parse_lock((root / "dvc.lock").read_bytes()) if (root / "dvc.lock").is_file() else {}
    made = {name: made_outputs({name: entry}) for name, entry in lock.items()}  # output -> MD5
    asked = {out for outs in made.values() for out in outs if relative == "." or overlap(out, relative)}
    if not asked:
        raise InputError(f"{path}: expected an output that dvc.lock records, received another path")
    store = open_store(environment)
    for name in [name for name, outs in made.items() if asked & outs.keys()]:
        yield f"stage {title(name)}"
        for out in sorted(asked & made[name].keys()):
            if (root / out).exists() and hash_output(root / out) != made[name][out]:
                yield f"  changed since: {out}"
        runs = store.search(equals(Tag.KEY, stage_key(name, lock[name])))
        makers = [run for run in runs if Tag.REUSED not in run.data.tags]
        if not makers:
            way = "this one took it from DVC's cache:" if runs else "`recap sync` records what dvc.lock has"
            yield f"  no run in this store made it; {way}"
        for run in makers or runs[-1:]:
            yield from _describe(run)
        if len(runs) > len(makers) > 0:
            yield f"  reused by {len(runs) - len(makers)} other pipelines"


def _describe(run: "Run") -> Iterator[str]:
    tags = run.data.tags
    moment = datetime.fromtimestamp(run.info.start_time / 1000).astimezone()
    yield f"  run {run.info.run_id}: {run.info.status}, started {moment:%Y-%m-%d %H:%M:%S %z}"
    facts = [(name, tags[tag]) for name, tag in FACTS.items() if tags.get(tag)]
    facts += [("param", f"{name} = {value}") for name, value in sorted(run.data.params.items())]
    data = run.inputs.dataset_inputs if run.inputs else []
    facts += [("data", f"{own.dataset.name} {own.dataset.digest}") for own in data]
    yield from (f"    {name:<8} {value}" for name, value in facts)


def list_pipelines(environment: Mapping[str, str]) -> list[str]:
    """List the pipelines in the store, the latest first, with their CIDEr-D."""
    rows = [("pipeline", "run", "status", "commit", "CIDEr-D")]
    for run in open_store(environment).search(f"tags.`{Tag.FINGERPRINT}` LIKE '%'"):
        scores = [
            f"{name.removesuffix('.cider_d')} {value:.3f}"
            for name, value in sorted(run.data.metrics.items())
            if name.count(".") == 1 and name.endswith(".cider_d")
        ]
        commit = run.data.tags.get(Tag.COMMIT, "")[:8]
        rows.append((run.info.run_name, run.info.run_id[:8], run.info.status, commit, ", ".join(scores)))
    return format_rows(rows, "text").split("\n")

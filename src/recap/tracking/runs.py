"""`recap runs`: the run that made a file, the differences of two runs, the list of pipelines."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from recap.core.hashes import hash_file
from recap.errors import InputError
from recap.metrics.files.tables import format_rows
from recap.tracking.store import Store, Tag, describe_error, equals
from recap.workspace.cache import Cache
from recap.workspace.lock_file import Outputs, overlap, parse_lock, stage_key, title
from recap.workspace.pipeline import find_in
from recap.workspace.root import check_checkout, repository_root

if TYPE_CHECKING:
    from mlflow.entities import Run


def open_store(environment: Mapping[str, str]) -> Store:
    """Connect to the store.

    Raises:
        InputError: this is no checkout, or the store cannot be reached.
    """
    check_checkout(environment)
    try:
        return Store(environment)
    except Exception as error:  # MLflow, SQLAlchemy and requests each have their own
        reason = describe_error(error, environment)
        raise InputError(f"MLflow: expected a store that answers, received: {reason}") from None


def runs_of_file(environment: Mapping[str, str], path: str) -> list[str]:
    """Describe what made an output, or a file or folder in or around outputs: stages, runs, params and data.

    Raises:
        InputError: no stage makes it, dvc.lock does not have it, or the store cannot be reached.
    """
    root = repository_root(environment)
    relative = os.path.relpath(path, root)
    lock = parse_lock((root / "dvc.lock").read_bytes()) if (root / "dvc.lock").is_file() else {}
    made = {name: [out["path"] for out in entry.get("outs", [])] for name, entry in lock.items()}
    makers = [name for name in made if any(relative == "." or overlap(out, relative) for out in made[name])]
    if not makers:
        raise InputError(f"{path}: expected an output that dvc.lock records, received another path")
    store, outputs = open_store(environment), Outputs(lock, Cache(root), find_in(root))
    lines: list[str] = []
    for name in makers:
        lines.append(f"stage {title(name)}")
        files = outputs.files(made[name] if relative == "." else [relative])
        own = {file: md5 for file, md5 in files.items() if any(overlap(file, out) for out in made[name])}
        here = [file for file in sorted(own) if (root / file).is_file()]
        changed = [file for file in here if hash_file(root / file) != own[file]]
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            lines.append(f"  changed since: {', '.join(changed[:3])}{more}")
        lines += _describe_makers(store.search(equals(Tag.KEY, stage_key(name, lock[name]))))
    return lines


def _describe_makers(runs: "Sequence[Run]") -> list[str]:
    """Describe the runs with a stage's key: those that made the outputs, and how many reused them."""
    lines: list[str] = []
    makers = [run for run in runs if Tag.REUSED not in run.data.tags]
    if not makers:
        makers = list(runs[-1:])
        about = "`recap sync` recorded it" if runs else "`recap sync` records it from dvc.lock"
        lines.append(f"  no run in this store made it; {about}")
    for run in makers:
        lines += _describe(run)
    reusers = len(runs) - len(makers)
    return [*lines, f"  reused by {reusers} other pipelines"] if reusers else lines


def _describe(run: "Run") -> list[str]:
    tags = run.data.tags
    moment = datetime.fromtimestamp(run.info.start_time / 1000).astimezone()
    dirty = " with changes" if tags.get(Tag.DIRTY) == "true" else ""
    facts = [("pipeline", tags.get(Tag.PARENT, ""))]
    if tags.get(Tag.COMMIT):
        facts.append(("commit", f"{tags[Tag.COMMIT]}{dirty}"))
    facts += [
        (name, tags[tag])
        for name, tag in (("DVC experiment", Tag.EXPERIMENT_NAME), ("reason", Tag.REASON))
        if tags.get(tag)
    ]
    facts += [("param", f"{name} = {value}") for name, value in sorted(run.data.params.items())]
    data = [entry.dataset for entry in run.inputs.dataset_inputs] if run.inputs else []
    facts += [("data", f"{own.name} {own.digest}") for own in data]
    first = f"  run {run.info.run_id}: {run.info.status}, started {moment:%Y-%m-%d %H:%M:%S %z}"
    return [first, *(f"    {name:<8} {value}" for name, value in facts)]


def compare_runs(environment: Mapping[str, str], first: str, second: str) -> list[str]:
    """Describe the params and metrics in which two runs differ.

    A run is given by its id, a unique beginning of it, or its name (of several runs, the latest that made
    something).

    Raises:
        InputError: a run is not found, or the store cannot be reached.
    """
    store = open_store(environment)
    runs = [_find(store, name) for name in (first, second)]
    names = [f"{run.info.run_name} ({run.info.run_id[:8]})" for run in runs]
    rows = [("", *names)]
    params, metrics = [run.data.params for run in runs], [run.data.metrics for run in runs]
    for kind, values in (("param", params), ("metric", metrics)):
        for name in sorted(values[0].keys() | values[1].keys()):
            left, right = (_show(group.get(name)) for group in values)
            if left != right:
                rows.append((f"{kind} {name}", left, right))
    if len(rows) == 1:
        return [f"{names[0]} and {names[1]} have the same params and metrics"]
    return format_rows(rows, "text").split("\n")


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


def _find(store: Store, name: str) -> "Run":
    runs = store.search()
    named = [run for run in runs if name in (run.info.run_id, run.info.run_name)]
    if named:
        return min(named, key=lambda run: Tag.REUSED in run.data.tags)
    begun = [run for run in runs if name and run.info.run_id.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    several = f", with which {len(begun)} ids begin" if begun else ""
    raise InputError(f"runs: expected the id or the name of a run, received {name!r}{several}")


def _show(value: object) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

"""`recap runs`: which run made this file, what two runs differ in, which pipelines there are."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import InputError
from recap.tracking.pipeline import Pipeline
from recap.tracking.place import hide_password, repository_root
from recap.tracking.store import (
    COMMIT_TAG,
    DIRTY_TAG,
    EXPERIMENT_NAME_TAG,
    FINGERPRINT_TAG,
    KEY_TAG,
    PARENT_TAG,
    REASON_TAG,
    REUSED_TAG,
    Store,
    equals,
)
from recap.tracking.trees import Cache, FolderTree
from recap.workspace.definition import Stage

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
        reason = hide_password(" ".join(str(error).split()), environment)[:300]
        raise InputError(f"MLflow: expected a store that answers, received: {reason}") from None


def check_checkout(environment: Mapping[str, str]) -> None:
    """Look for a pipeline, so that no empty store is made where there is none.

    Raises:
        InputError: neither the working directory nor a folder around it has one.
    """
    root = repository_root(environment)
    if "DVC_ROOT" not in environment and not (root / "dvc.yaml").is_file():
        raise InputError(f"recap: expected to be in a checkout with dvc.yaml, received {root}")


def runs_of_file(environment: Mapping[str, str], path: str) -> list[str]:
    """What made a file: the stage and its runs with their commit, params and data.

    Args:
        environment: the process's variables.
        path: an output, or a file or a folder in or around outputs; relative to the repository.

    Returns:
        Lines of text.

    Raises:
        InputError: no stage makes it, dvc.lock does not have it, or the store cannot be reached.
    """
    root = repository_root(environment)
    relative = os.path.relpath(path, root)
    try:
        pipeline = Pipeline(FolderTree(root), Cache(root))
    except ValueError as error:
        raise InputError(str(error)) from None
    makers = pipeline.makers(relative)
    if not makers:
        raise InputError(f"{path}: expected an output that dvc.lock records, received another path")
    store = open_store(environment)
    lines: list[str] = []
    for stage in makers:
        lines += _describe_maker(store, pipeline, stage, root, relative)
    return lines


def _describe_maker(store: Store, pipeline: Pipeline, stage: Stage, root: Path, path: str) -> list[str]:
    lines = [f"stage {stage.title}"]
    changed = [
        name
        for name, md5 in sorted(pipeline.files(stage).items())
        if (name == path or name.startswith(f"{path}/")) and _hash_file(root / name) not in (None, md5)
    ]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        lines.append(f"  changed since: {', '.join(changed[:3])}{more}")
    runs = store.search(equals(KEY_TAG, pipeline.locked_key(stage)))
    makers = [run for run in runs if REUSED_TAG not in run.data.tags]
    described = makers
    if not makers:
        described = runs[-1:]
        about = "`recap sync` recorded it" if runs else "`recap sync` records it from dvc.lock"
        lines.append(f"  no run in this store made it; {about}")
    for run in described:
        lines += _describe(run)
    reusers = len(runs) - len(described)
    return [*lines, f"  reused by {reusers} other pipelines"] if reusers else lines


def _describe(run: "Run") -> list[str]:
    tags = run.data.tags
    moment = datetime.fromtimestamp(run.info.start_time / 1000).astimezone()
    dirty = " with changes" if tags.get(DIRTY_TAG) == "true" else ""
    lines = [
        f"  run {run.info.run_id}: {run.info.status}, started {moment:%Y-%m-%d %H:%M:%S %z}",
        f"    pipeline {tags.get(PARENT_TAG, '')}",
    ]
    if tags.get(COMMIT_TAG):
        lines.append(f"    commit   {tags[COMMIT_TAG]}{dirty}")
    if tags.get(EXPERIMENT_NAME_TAG):
        lines.append(f"    DVC experiment {tags[EXPERIMENT_NAME_TAG]}")
    if tags.get(REASON_TAG):
        lines.append(f"    reason   {tags[REASON_TAG]}")
    lines += [f"    param    {name} = {value}" for name, value in sorted(run.data.params.items())]
    data = run.inputs.dataset_inputs if run.inputs is not None else []
    return lines + [f"    data     {entry.dataset.name} {entry.dataset.digest}" for entry in data]


def compare_runs(environment: Mapping[str, str], first: str, second: str) -> list[str]:
    """The params and metrics that two runs differ in.

    Args:
        environment: the process's variables.
        first: a run's id or the beginning of it that no other has, or its name (of several, the latest that
            made something).
        second: likewise.

    Returns:
        Lines of text.

    Raises:
        InputError: a run is not found, or the store cannot be reached.
    """
    store = open_store(environment)
    runs = [_find(store, first), _find(store, second)]
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
    return _table(rows)


def list_pipelines(environment: Mapping[str, str]) -> list[str]:
    """The pipelines in the store, the latest first, with their CIDEr-D."""
    store = open_store(environment)
    rows = [("pipeline", "run", "status", "commit", "CIDEr-D")]
    for run in store.search(f"tags.`{FINGERPRINT_TAG}` LIKE '%'"):
        scores = [
            f"{name.removesuffix('.cider_d')} {value:.3f}"
            for name, value in sorted(run.data.metrics.items())
            if name.count(".") == 1 and name.endswith(".cider_d")
        ]
        commit = run.data.tags.get(COMMIT_TAG, "")[:8]
        rows.append((run.info.run_name, run.info.run_id[:8], run.info.status, commit, ", ".join(scores)))
    return _table(rows)


def _find(store: Store, name: str) -> "Run":
    runs = store.search()
    named = [run for run in runs if name in (run.info.run_id, run.info.run_name)]
    if named:
        return min(named, key=lambda run: REUSED_TAG in run.data.tags)
    begun = [run for run in runs if name and run.info.run_id.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    several = f", with which {len(begun)} ids begin" if begun else ""
    raise InputError(f"runs: expected the id or the name of a run, received {name!r}{several}")


def _show(value: object) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _hash_file(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError:
        return None

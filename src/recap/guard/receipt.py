"""Receipts: DVC hashes the inputs and outputs of a stage a moment after its end, when they may have changed.

A stage leaves a receipt of what it read and made. The next one compares it with dvc.lock, and makes DVC
forget what it recorded wrongly, in dvc.lock and in its cache of runs.
"""

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from recap.core import paths
from recap.core.artifacts import write_json, write_text
from recap.core.config import read_values
from recap.core.hashes import hash_output, size_output
from recap.core.plain_yaml import parse_yaml
from recap.guard.reading import Reading
from recap.workspace.cache import Cache
from recap.workspace.definition import Stage, look_up

SECONDS_OF_A_WRITE = 1.0
LARGEST = 64 * 2**20  # bytes; larger outputs are not hashed twice, and leave no receipt


def leave_receipt(stage: Stage, reading: Reading) -> None:
    """Note the inputs and outputs of a stage, in the working directory."""
    path = paths.RECEIPTS / f"{stage.name}.json"
    outputs = [Path(output) for output in stage.outputs if Path(output).exists()]
    if sum(map(size_output, outputs)) > LARGEST:
        path.unlink(missing_ok=True)
        return
    values = read_values(reading.params, paths.PARAMS)
    receipt = {
        "params": {name: look_up(values, name) for name in stage.params},
        "files": {dep: md5 for dep in stage.deps if (md5 := reading.digest(dep))},
        "outputs": {output.as_posix(): hash_output(output) for output in outputs},
    }
    write_json(path, receipt, compact=True)


def forget_wrong(root: Path) -> dict[str, list[str]]:
    """Make DVC forget the stages whose entry in dvc.lock differs from their receipt.

    A receipt that agrees is removed: DVC may later take the same outputs from a run of another checkout.

    Returns:
        The inputs that differ, by the stage's name.
    """
    receipts = {}
    for path in sorted((root / paths.RECEIPTS).glob("*.json")):
        try:
            receipts[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    if not receipts or not (root / paths.LOCK).is_file():
        return {}
    content = (root / paths.LOCK).read_bytes()
    found: dict[str, list[str] | None] = {}
    stages: dict[str, Any] = {}
    for load in (parse_yaml, YAML(typ="safe", pure=True).load):  # fast; and DVC's own, to be sure
        try:
            stages = load(content)["stages"]
        except Exception:  # a file that is cut short may raise anything; it is mended elsewhere
            return {}
        found = {name: _differences(receipt, stages.get(name)) for name, receipt in receipts.items()}
        for name, differences in found.items():
            if differences == []:
                (root / paths.RECEIPTS / f"{name}.json").unlink(missing_ok=True)
        receipts = {name: receipts[name] for name, differences in found.items() if differences}
        if not receipts:
            return {}
    wrong = {}
    for name, differences in found.items():
        if not differences:
            continue
        run = _recorded_run(root, stages[name])
        # an older one was recorded rightly, and DVC has taken these outputs from it
        if run and run.stat().st_mtime >= (root / paths.RECEIPTS / f"{name}.json").stat().st_mtime:
            wrong[name] = differences
            _forget(root, name, run)
    return wrong


def _forget(root: Path, stage: str, run: Path) -> None:
    """Remove a stage from dvc.lock, and its run from DVC's cache; a stage beside may have done it."""
    text = (root / paths.LOCK).read_text(encoding="utf-8")
    pattern = rf"^  {re.escape(stage)}:\n(?:   .*\n)*"
    rest = re.sub(pattern, "", text, flags=re.MULTILINE)
    if rest != text:
        write_text(root / paths.LOCK, rest)
    run.unlink(missing_ok=True)
    tidy_runs(root)
    (root / paths.RECEIPTS / f"{stage}.json").unlink(missing_ok=True)


def tidy_runs(root: Path) -> None:
    """Remove what a kill leaves in DVC's cache of runs; an empty folder there makes DVC fail at every run."""
    found = _unfinished(root)
    if found:
        time.sleep(SECONDS_OF_A_WRITE)  # by another checkout that shares the cache
    for path in sorted(found & _unfinished(root), reverse=True):  # files before their folders
        with suppress(OSError):  # tidied or filled meanwhile
            path.rmdir() if path.is_dir() else path.unlink()


def _unfinished(root: Path) -> set[Path]:
    """Return unfinished files in DVC's cache of runs, and folders without any other."""
    entries = {folder: list(folder.glob("*")) for folder in Cache(root).runs.glob("*/*")}
    unfinished = {folder: [own for own in entries[folder] if own.name.startswith(".")] for folder in entries}
    empty = {folder for folder, found in entries.items() if len(found) == len(unfinished[folder])}
    return empty.union(*unfinished.values())


def _recorded_run(root: Path, entry: Mapping[str, Any]) -> Path | None:
    """Return the file of DVC's cache of runs that corresponds to an entry of dvc.lock."""
    for run in Cache(root).runs.glob("*/*/*"):
        known = YAML(typ="safe").load(run.read_text(encoding="utf-8")) or {}
        if all(known.get(part) == entry.get(part) for part in ("cmd", "deps", "params", "outs")):
            return run
    return None


def _differences(receipt: Mapping[str, Any], entry: Any) -> list[str] | None:
    """Return the inputs that differ between a receipt and an entry of dvc.lock; None without its outputs."""
    if not entry:
        return None
    made = {output["path"]: output["md5"] for output in entry.get("outs", [])}
    if any(made.get(path) != md5 for path, md5 in receipt["outputs"].items()):
        return None
    params = entry.get("params", {}).get(str(paths.PARAMS), {})
    deps = {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}
    differing = [
        name for name, value in receipt["params"].items() if name in params and params[name] != value
    ]
    return differing + [name for name, md5 in receipt["files"].items() if name in deps and deps[name] != md5]

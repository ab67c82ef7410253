"""What DVC recorded of a stage beside what the stage read: DVC hashes both a moment after the stage's end.

A stage leaves a receipt. Whoever comes next compares it with dvc.lock, and makes DVC forget what it recorded
wrongly, in dvc.lock and in its cache of runs.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from recap.core import paths
from recap.core.artifacts import write_bytes, write_json
from recap.core.config import read_values
from recap.core.hashes import hash_output, output_files
from recap.guard.reading import Reading
from recap.tracking.trees import Cache
from recap.workspace.definition import Stage, look_up

PARAMS = "params.yaml"
LARGEST = 64 * 2**20  # bytes; larger outputs are not hashed twice, and leave no receipt


def leave_receipt(stage: Stage, reading: Reading) -> None:
    """Note what a stage read and what it made of it, in the working directory."""
    path = paths.RECEIPTS / f"{stage.name}.json"
    outputs = [Path(output) for output in stage.outputs if Path(output).exists()]
    if sum(file.stat().st_size for output in outputs for file in output_files(output)) > LARGEST:
        path.unlink(missing_ok=True)
        return
    values = read_values(reading.params, Path(PARAMS))
    receipt = {
        "params": {name: look_up(values, name) for name in stage.params},
        "files": {dep: reading.digest(dep) for dep in stage.deps if reading.digest(dep)},
        "outputs": {output.as_posix(): hash_output(output) for output in outputs},
    }
    write_json(path, receipt, compact=True)


def compare_receipts(root: Path) -> dict[str, list[str]]:
    """The stages whose outputs dvc.lock binds to what they did not read: name -> what differs."""
    receipts = {}
    for path in sorted((root / paths.RECEIPTS).glob("*.json")):
        try:
            receipts[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    if not receipts or not (root / paths.LOCK).is_file():
        return {}
    text = (root / paths.LOCK).read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    stages: dict[str, Any] = {}
    for loader in (YAML(typ="safe"), YAML(typ="safe", pure=True)):  # fast; and DVC's own, to be sure
        try:
            stages = loader.load(text)["stages"]
        except Exception:  # whatever half a file may raise; it is healed elsewhere
            return {}
        found = {name: _differences(receipt, stages.get(name)) for name, receipt in receipts.items()}
        receipts = {name: receipts[name] for name, differences in found.items() if differences}
        if not receipts:
            return {}
    wrong = {}
    for name in receipts:
        run = _recorded_run(root, stages[name])
        # an older one was recorded rightly, and DVC has taken these outputs from it
        if run and run.stat().st_mtime >= (root / paths.RECEIPTS / f"{name}.json").stat().st_mtime:
            wrong[name] = found[name]
    return wrong


def forget(root: Path, stage: str) -> None:
    """Take a stage out of dvc.lock, and out of DVC's cache of runs."""
    path = root / paths.LOCK
    text = path.read_text(encoding="utf-8")
    entry = YAML(typ="safe").load(text)["stages"][stage]
    pattern = rf"^  {re.escape(stage)}:\n(?:   .*\n)*"
    write_bytes(path, re.sub(pattern, "", text, flags=re.MULTILINE).encode())
    run = _recorded_run(root, entry)
    if run:
        run.unlink()
        tidy_runs(root)
    (root / paths.RECEIPTS / f"{stage}.json").unlink()


def tidy_runs(root: Path) -> None:
    """Remove what a kill leaves in DVC's cache of runs; an empty folder there makes DVC fail at every run."""
    for folder in (Cache(root).folder.parents[1] / "runs").glob("*/*"):
        for leftover in folder.glob(".*"):
            leftover.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def _recorded_run(root: Path, entry: Mapping[str, Any]) -> Path | None:
    """Return where DVC's cache of runs keeps what an entry of dvc.lock says."""
    for run in (Cache(root).folder.parents[1] / "runs").glob("*/*/*"):
        known = YAML(typ="safe").load(run.read_text(encoding="utf-8")) or {}
        if all(known.get(part) == entry.get(part) for part in ("cmd", "deps", "params", "outs")):
            return run
    return None


def _differences(receipt: Mapping[str, Any], entry: Any) -> list[str]:
    """Return what an entry of dvc.lock says otherwise than a receipt, when both speak of the same outputs."""
    if not entry:
        return []
    made = {output["path"]: output["md5"] for output in entry.get("outs", [])}
    if any(made.get(path) != md5 for path, md5 in receipt["outputs"].items()):
        return []
    params = entry.get("params", {}).get(PARAMS, {})
    deps = {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}
    differing = [
        name for name, value in receipt["params"].items() if name in params and params[name] != value
    ]
    return differing + [name for name, md5 in receipt["files"].items() if name in deps and deps[name] != md5]

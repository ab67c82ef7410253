"""Reads dvc.lock strictly: whole, and with every output of every stage that dvc.yaml declares."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recap.core.paths import PAGE
from recap.core.plain_yaml import parse_yaml, read_content
from recap.errors import InputError
from recap.proof.pipeline import declared_outputs
from recap.report.promise import is_exact, made_from

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
PARAMS = "params.yaml"
RUNTIME = ("arithmetic", "threads", "device")
STAGE_KEYS = frozenset({"cmd", "deps", "params", "outs"})
FILE_KEYS = frozenset({"path", "hash", "md5", "size", "nfiles", "isexec"})
SCHEMA = "2.0"


@dataclass(frozen=True)
class LockedOutput:
    """An output as dvc.lock records it: its MD5, bytes, and of a folder the number of its files."""

    stage: str
    path: str
    md5: str
    size: int | None = None
    files: int | None = None


@dataclass(frozen=True)
class Lock:
    """The entries of dvc.lock for the stages that dvc.yaml declares."""

    outputs: list[LockedOutput]  # in the file's order
    runtimes: dict[str, dict[str, Any]]  # the group `runtime` in the params of each stage
    entries: dict[str, dict[str, Any]]  # of each stage, as they are written

    @property
    def runtime(self) -> dict[str, Any]:
        """The params group `runtime` of the stages that train; where they differ, one that promises less."""
        training = [own for stage, own in self.runtimes.items() if stage.partition("@")[0] == "train"]
        return min(training, key=is_exact, default={})

    @property
    def page(self) -> str | None:
        """The digest of what the page was made from, which the page names; None where no stage makes one."""
        for output in self.outputs:
            if output.path == PAGE.as_posix():
                deps = self.entries[output.stage].get("deps") or []
                return made_from({own["path"]: own["md5"] for own in deps})
        return None

    def is_exact(self, stage: str) -> bool:
        """Return whether the bytes of a stage's outputs are promised; missing keys are those of training."""
        return is_exact(self.runtime | self.runtimes.get(stage, {}))


def read_lock(root: Path) -> Lock:
    """Read ``root/dvc.lock`` and check it against ``root/dvc.yaml``.

    Entries of stages that dvc.yaml no longer declares, which DVC leaves behind, are not looked at.

    Raises:
        InputError: a file is absent or broken, the lock is cut short, or a stage or an output is not in it.
    """
    path = root / "dvc.lock"
    stages = _read_stages(path)
    declared = declared_outputs(root)
    absent = [name for name in declared if name not in stages]
    if absent:
        raise _refuse(path, f"nothing of the stages {', '.join(absent)}, which dvc.yaml declares")
    outputs: list[LockedOutput] = []
    inputs: list[LockedOutput] = []
    runtimes: dict[str, dict[str, Any]] = {}
    for stage, entry in stages.items():
        if stage in declared:
            if not isinstance(entry, dict):
                raise _refuse(path, f"no mapping as the entry of the stage {stage}")
            outputs += _outputs(path, stage, entry.get("outs"), declared[stage])
            inputs += _files(path, stage, "deps", entry.get("deps"))
            _check_keys(path, stage, entry, STAGE_KEYS)
            if not isinstance(entry.get("cmd"), str | list):
                raise _refuse(path, f"no command of the stage {stage}")
            runtimes[stage] = _runtime(path, stage, entry.get("params"))
    made = {output.path: output for output in outputs}
    for own in inputs:
        if own.path in made and replace(own, stage=made[own.path].stage) != made[own.path]:
            raise _refuse(
                path, f"{own.path} as the stage {own.stage} did not get it from the one that makes it"
            )
    return Lock(outputs, runtimes, {stage: stages[stage] for stage in declared})


def _refuse(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: expected a whole dvc.lock, received {reason}")


def _read_stages(path: Path) -> dict[str, Any]:
    try:
        text = read_content(path, "a dvc.lock")
        content = parse_yaml(text)
    except ValueError as error:
        raise InputError(f"{path}: expected a dvc.lock, received {error}") from None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(name, str) for name in stages):
        raise InputError(f"{path}: expected a dvc.lock, received no mapping of stages")
    if content.get("schema") != SCHEMA or len(content) != 2:
        raise _refuse(path, f"other keys than the stages and the schema {SCHEMA}")
    if not text.endswith(b"\n"):
        raise _refuse(path, "one whose last line is cut short")
    return stages


def _outputs(path: Path, stage: str, entries: Any, declared: Sequence[str]) -> list[LockedOutput]:
    """Return the outputs of a stage's entry, which must be those that dvc.yaml declares."""
    if entries is None and declared:
        raise _refuse(path, f"no outs of the stage {stage}")
    outputs = _files(path, stage, "outs", entries)
    found = [output.path for output in outputs]
    if absent := [name for name in declared if name not in found]:
        raise _refuse(path, f"nothing of {', '.join(absent)}, which the stage {stage} of dvc.yaml declares")
    if odd := [name for name in found if name not in declared]:
        raise _refuse(path, f"{odd[0]} in the stage {stage}, which dvc.yaml does not declare")
    return outputs


def _files(path: Path, stage: str, kind: str, entries: Any) -> list[LockedOutput]:
    """Return the files of a stage's entry, its `deps` or `outs`, each as DVC writes one and no path twice."""
    if not isinstance(entries, list | None):
        raise _refuse(path, f"no list as the {kind} of the stage {stage}")
    files = []
    for entry in entries or []:
        values = entry if isinstance(entry, dict) else {}
        name, md5 = values.get("path"), values.get("md5")
        if not isinstance(name, str):
            raise _refuse(path, f"one of the {kind} without a path in the stage {stage}")
        if not (isinstance(md5, str) and MD5.fullmatch(md5)):
            raise _refuse(path, f"no MD5 of {name} in the stage {stage}")
        _check_keys(path, stage, entry, FILE_KEYS)
        size, number = values.get("size"), values.get("nfiles")
        if values.get("hash") != "md5" or not _is_count(size) or values.get("isexec", True) is not True:
            raise _refuse(path, f"another kind of size or hash of {name} in the stage {stage}")
        if not _is_count(number) if md5.endswith(".dir") else "nfiles" in values:
            raise _refuse(path, f"another number of files of {name} in the stage {stage}")
        files.append(LockedOutput(stage, name, md5, size, number))
    names = [own.path for own in files]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise _refuse(path, f"{doubled[0]} in the stage {stage}, twice among its {kind}")
    return files


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _check_keys(path: Path, stage: str, entry: dict[Any, Any], known: frozenset[str]) -> None:
    if odd := [key for key in entry if key not in known]:
        raise _refuse(path, f"the key {str(odd[0])[:60]!r} in the stage {stage}")


def _runtime(path: Path, stage: str, params: Any) -> dict[str, Any]:
    """Return the group `runtime` in a stage's locked params, listed as a group or by its keys.

    A group without `arithmetic` was written before there was a choice: native.
    """
    files = {} if params is None else params
    values = files.get(PARAMS, {}) if isinstance(files, dict) else None
    if not isinstance(values, Mapping) or not all(isinstance(own, Mapping) for own in files.values()):
        raise _refuse(path, f"no mapping as the params of the stage {stage}")
    found = {key: values[f"runtime.{key}"] for key in RUNTIME if f"runtime.{key}" in values}
    if "runtime" in values:
        if not isinstance(values["runtime"], Mapping):
            raise _refuse(path, f"no mapping as the params group runtime of the stage {stage}")
        found |= {"arithmetic": "native"} | dict(values["runtime"])
    return found

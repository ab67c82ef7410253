"""Reads dvc.lock strictly: whole, and with every output of every stage that dvc.yaml declares."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.errors import InputError
from recap.plain_yaml import parse_yaml, read_content
from recap.proof.pipeline import declared_outputs
from recap.proof.promise import is_exact

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
PARAMS = "params.yaml"
RUNTIME = ("arithmetic", "threads", "device")


@dataclass(frozen=True)
class LockedOutput:
    """An output as dvc.lock records it."""

    stage: str
    path: str
    md5: str


@dataclass(frozen=True)
class Lock:
    """What dvc.lock says of the stages that dvc.yaml declares.

    Attributes:
        outputs: in the file's order.
        runtimes: what the params of each stage say of the group `runtime`.
    """

    outputs: list[LockedOutput]
    runtimes: dict[str, dict[str, Any]]

    @property
    def runtime(self) -> dict[str, Any]:
        """The params group `runtime` of the stages that train; where they differ, one that promises less."""
        training = [own for stage, own in self.runtimes.items() if stage.partition("@")[0] == "train"]
        return min(training, key=is_exact, default={})

    def is_exact(self, stage: str) -> bool:
        """Whether the outputs of a stage are promised to the byte; what it does not list, training says."""
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
    runtimes: dict[str, dict[str, Any]] = {}
    for stage, entry in stages.items():
        if stage in declared:
            if not isinstance(entry, dict):
                raise _refuse(path, f"no mapping as the entry of the stage {stage}")
            outputs += _outputs(path, stage, entry.get("outs"), declared[stage])
            runtimes[stage] = _runtime(path, stage, entry.get("params"))
    return Lock(outputs, runtimes)


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
    if not text.endswith(b"\n"):
        raise _refuse(path, "one whose last line is cut short")
    return stages


def _outputs(path: Path, stage: str, entries: Any, declared: Sequence[str]) -> list[LockedOutput]:
    """The outputs of a stage's entry, which must be those that dvc.yaml declares."""
    if entries is None and declared:
        raise _refuse(path, f"no outs of the stage {stage}")
    if not isinstance(entries, list | None):
        raise _refuse(path, f"no list as the outs of the stage {stage}")
    outputs = []
    for entry in entries or []:
        values = entry if isinstance(entry, dict) else {}
        output, md5 = values.get("path"), values.get("md5")
        if not isinstance(output, str):
            raise _refuse(path, f"an output without a path in the stage {stage}")
        if not (isinstance(md5, str) and MD5.fullmatch(md5)):
            raise _refuse(path, f"no MD5 of {output} in the stage {stage}")
        outputs.append(LockedOutput(stage, output, md5))
    found = [output.path for output in outputs]
    if absent := [name for name in declared if name not in found]:
        raise _refuse(path, f"nothing of {', '.join(absent)}, which the stage {stage} of dvc.yaml declares")
    if odd := [name for name in found if name not in declared or found.count(name) > 1]:
        raise _refuse(path, f"{odd[0]} in the stage {stage}, twice or not declared by dvc.yaml")
    return outputs


def _runtime(path: Path, stage: str, params: Any) -> dict[str, Any]:
    """What a stage's locked params say of the group `runtime`, whether it lists the group or keys of it.

    A group without `arithmetic` is from before there was a choice: native.
    """
    files = {} if params is None else params
    values = files.get(PARAMS, {}) if isinstance(files, dict) else None
    if not isinstance(values, Mapping):
        raise _refuse(path, f"no mapping as the params of the stage {stage}")
    found = {key: values[f"runtime.{key}"] for key in RUNTIME if f"runtime.{key}" in values}
    if "runtime" in values:
        if not isinstance(values["runtime"], Mapping):
            raise _refuse(path, f"no mapping as the params group runtime of the stage {stage}")
        found |= {"arithmetic": "native"} | dict(values["runtime"])
    return found

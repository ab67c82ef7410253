"""Reads dvc.lock strictly: whole, and with every output of every stage that dvc.yaml declares."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from annotated_types import Ge

from recap.core import paths
from recap.core.config import STRICT, parse
from recap.core.plain_yaml import parse_yaml, read_content
from recap.errors import InputError
from recap.proof.pipeline import declared_outputs
from recap.report.promise import is_exact, made_from

SCHEMA = "2.0"


@pydantic.dataclasses.dataclass(config=STRICT, frozen=True)
class _File:
    """A dependency or an output as DVC writes it; of a folder the number of its files is there."""

    path: str
    hash: Literal["md5"]
    md5: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
    size: Annotated[int, Ge(0)]
    nfiles: Annotated[int, Ge(0)] | None = None
    isexec: Literal[True] = True


@pydantic.dataclasses.dataclass(config=STRICT, frozen=True)
class _Entry:
    """What DVC writes of a stage."""

    cmd: str | list[str]
    deps: list[_File] = field(default_factory=list)
    params: dict[str, dict[str, Any]] | None = None
    outs: list[_File] = field(default_factory=list)


@dataclass(frozen=True)
class LockedOutput:
    """An output as dvc.lock records it: its MD5, bytes, and of a folder the number of its files."""

    stage: str
    path: str
    md5: str
    size: int
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
            if output.path == paths.PAGE.as_posix():
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
    for stage in (name for name in stages if name in declared):
        try:
            entry = parse(stage, stages[stage], _Entry)
        except InputError as error:
            raise _refuse(path, str(error).partition("\n")[0]) from None
        outputs += _outputs(path, stage, entry.outs, declared[stage])
        inputs += _files(path, stage, entry.deps)
        runtimes[stage] = _runtime(path, stage, (entry.params or {}).get(str(paths.PARAMS), {}))
    made = {output.path: output for output in outputs}
    for own in inputs:
        if own.path in made and replace(own, stage=made[own.path].stage) != made[own.path]:
            raise InputError(
                f"{path}: expected stages that ran on what the others made, received {own.stage}, which ran "
                f"on another {own.path}: make repro runs it again"
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


def _outputs(path: Path, stage: str, files: list[_File], declared: Sequence[str]) -> list[LockedOutput]:
    """Return the outputs of a stage's entry, which must be those that dvc.yaml declares."""
    outputs = _files(path, stage, files)
    found = [output.path for output in outputs]
    if absent := [name for name in declared if name not in found]:
        raise _refuse(path, f"nothing of {', '.join(absent)}, which the stage {stage} of dvc.yaml declares")
    if odd := [name for name in found if name not in declared]:
        raise _refuse(path, f"{odd[0]} in the stage {stage}, which dvc.yaml does not declare")
    return outputs


def _files(path: Path, stage: str, files: list[_File]) -> list[LockedOutput]:
    """Return the dependencies or outputs of a stage, no path twice."""
    names = [own.path for own in files]
    for own in files:
        if own.md5.endswith(".dir") != (own.nfiles is not None):
            raise _refuse(path, f"another number of files of {own.path} in the stage {stage}")
        if names.count(own.path) > 1:
            raise _refuse(path, f"{own.path} in the stage {stage}, twice")
    return [LockedOutput(stage, own.path, own.md5, own.size, own.nfiles) for own in files]


def _runtime(path: Path, stage: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the group `runtime` in a stage's locked params, listed as a group or by its keys.

    A group without `arithmetic` was written before there was a choice: native.
    """
    found = {
        name.removeprefix("runtime."): value for name, value in values.items() if name.startswith("runtime.")
    }
    if "runtime" in values:
        if not isinstance(values["runtime"], dict):
            raise _refuse(path, f"no mapping as the params group runtime of the stage {stage}")
        found |= {"arithmetic": "native"} | values["runtime"]
    return found

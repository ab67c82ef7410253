"""The inputs of a stage: noted at its start, compared at its end, so that outputs belong to what made them.

DVC hashes params, code and data after the stage has ended. An edit in between would bind the outputs to
inputs that did not make them, in dvc.lock and in DVC's cache of runs.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.config import read_values
from recap.core.hashes import folder_files, hash_file, hash_list, output_files
from recap.errors import InputError
from recap.sources.registry import is_url
from recap.workspace.definition import Stage, flatten, look_up
from recap.workspace.user_files import named_places, read_digests


@dataclass(frozen=True)
class Reading:
    """The inputs of a stage at one moment."""

    params: bytes  # of params.yaml
    files: dict[str, str | None]  # that no stage makes, in folders too: path -> digest; None without a file
    data: dict[str, tuple[int, int, int]]  # of stages and the user: path -> size, time of change, inode

    def digest(self, dependency: str) -> str | None:
        """Return the hash that DVC would record of a file or folder that no stage makes; else None."""
        if dependency in self.files:
            return self.files[dependency]
        start = f"{dependency}/"
        inside = {
            name.removeprefix(start): md5
            for name, md5 in self.files.items()
            if md5 is not None and name.startswith(start)
        }
        return hash_list(inside) if inside else None


def read(stage: Stage, all_stages: Mapping[str, Stage]) -> Reading:
    """Note the inputs of a stage, in the working directory.

    Of a folder around outputs of stages only those count: no stage reads other files there.
    Data are not read again, which would take as long as the stage: their size, time and inode show a change.
    """
    outputs = [output for other in all_stages.values() for output in other.outputs]
    files: dict[str, str | None] = {}
    places: list[str] = []
    for dependency in stage.deps:
        inside = [output for output in outputs if output.startswith(f"{dependency}/")]
        around = any(dependency == output or dependency.startswith(f"{output}/") for output in outputs)
        path = Path(dependency)
        if inside or around:
            places += inside or [dependency]
        elif path.is_dir():
            files |= {f"{dependency}/{name}": hash_file(file) for name, file in folder_files(path).items()}
        else:
            files[dependency] = hash_file(path) if path.is_file() else None
    if named := read_digests(stage.deps):
        own = named_places(named).values()
        places += [place for place in own if place and not is_url(place)]
    data: dict[str, tuple[int, int, int]] = {}
    for place in places:
        for path in output_files(Path(place)):
            state = path.stat()
            data[path.as_posix()] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return Reading(paths.PARAMS.read_bytes(), files, data)


def check_unchanged(stage: Stage, before: Reading, after: Reading) -> None:
    """Compare the inputs of a stage at its start and at its end.

    Raises:
        InputError: they differ; the message names them.
    """
    changed = [*_changed_params(stage, before.params, after.params)]
    for old, new in ((before.files, after.files), (before.data, after.data)):
        changed += [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if changed:
        more = f" and {len(changed) - 10} more" if len(changed) > 10 else ""
        raise InputError(
            f"{stage.name}: expected what it reads to stay as it was while it ran, received another "
            f"{', '.join(changed[:10])}{more}; its outputs are not recorded, run it again"
        )


def _changed_params(stage: Stage, before: bytes, after: bytes) -> list[str]:
    """Return the paths of the settings that differ."""
    if before == after:
        return []
    old, new = (_settings(stage, read_values(content, paths.PARAMS)) for content in (before, after))
    return [name for name in old | new if old.get(name) != new.get(name)]


def _settings(stage: Stage, values: Mapping[str, Any]) -> dict[str, tuple[type, Any]]:
    """Return the settings of a stage, each with its type: 1 is not True."""
    found: dict[str, Any] = {}
    for name in stage.params:
        with suppress(KeyError, TypeError):
            found[name] = look_up(values, name)
    return {name: (type(value), value) for name, value in flatten(found).items()}

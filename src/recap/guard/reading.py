"""The inputs of a stage: noted at its start, compared at its end, so that outputs belong to what made them.

DVC hashes params, code and data after the stage has ended. An edit in between would bind the outputs to
inputs that did not make them, in dvc.lock and in DVC's cache of runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.config import read_values
from recap.core.hashes import folder_files, hash_file, hash_list, output_files
from recap.errors import InputError
from recap.sources.registry import is_url
from recap.workspace.definition import Stage, look_up
from recap.workspace.user_files import named_places, read_digests

NOTHING = object()


@dataclass(frozen=True)
class Reading:
    """The inputs of a stage at one moment.

    Attributes:
        params: the bytes of params.yaml.
        files: code and other files that no stage makes, in folders too: path -> digest, or None without a
            file.
        data: outputs of stages, and the user's files: path -> size, time of the last change, inode.
    """

    params: bytes
    files: dict[str, str | None]
    data: dict[str, tuple[int, int, int]]

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
    named = read_digests(stage.deps)
    if named:
        own = named_places(named, paths.PARAMS).values()
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
    if before == after:
        return []
    old, new = (read_values(content, paths.PARAMS) for content in (before, after))
    changed: list[str] = []
    for name in stage.params:
        changed += _differences(name, _value(old, name), _value(new, name))
    return changed


def _value(values: Mapping[str, Any], name: str) -> Any:
    try:
        return look_up(values, name)
    except (KeyError, TypeError):
        return NOTHING


def _differences(name: str, old: Any, new: Any) -> list[str]:
    """Return the paths of the settings that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in {**old, **new}:
            found += _differences(f"{name}.{key}", old.get(key, NOTHING), new.get(key, NOTHING))
        return found
    return [] if old == new and type(old) is type(new) else [name]

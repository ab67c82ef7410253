"""The stages of dvc.yaml, with matrices and templates resolved."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.core.input_files import check_regular
from recap.core.plain_yaml import parse_yaml
from recap.errors import InputError


@dataclass(frozen=True)
class Stage:
    """A stage with its templates resolved."""

    name: str  # as DVC names it, such as train@lstm
    params: tuple[str, ...]  # the keys of params.yaml that it depends on
    deps: tuple[str, ...]  # the files and folders that it depends on
    outputs: tuple[str, ...]  # the files and folders that it makes, metrics among them


def read_definitions(pipeline: Path, params: Path) -> dict[str, Stage]:
    """Read the stages of a dvc.yaml, by name; none where there is no such file.

    Raises:
        InputError: the file is no pipeline, or names a param that is not there.
    """
    for path in (pipeline, params):
        check_regular(path)
    try:
        content, values = (parse_yaml(path.read_bytes()) for path in (pipeline, params))
        return {stage.name: stage for stage in _resolve(content["stages"], values)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{pipeline}: expected a pipeline of DVC, received: {reason}") from None


def _resolve(stages: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Stage]:
    """Yield the stages of a dvc.yaml, each of a matrix by itself, with the params in its templates."""
    for name, entry in stages.items():
        matrix = {key: fill(values, params) for key, values in entry.get("matrix", {}).items()}
        for values in itertools.product(*matrix.values()):
            names = {**params, "item": dict(zip(matrix, values, strict=True))}
            parts = {
                part: _paths(fill(entry.get(part) or [], names))
                for part in ("params", "deps", "outs", "metrics", "plots")
            }
            suffix = "@" + "-".join(str(value) for value in values) if values else ""
            outputs = parts["outs"] + parts["metrics"] + parts["plots"]
            yield Stage(f"{name}{suffix}", parts["params"], parts["deps"], outputs)


def fill(value: Any, names: Mapping[str, Any]) -> Any:
    """Replace DVC's ``${name}`` in a nested value; a text that is only a template becomes the named value.

    Raises:
        KeyError, TypeError: a name is not there.
    """
    if isinstance(value, Mapping):
        return {fill(key, names): entry for key, entry in value.items()}
    if isinstance(value, list):
        return [fill(entry, names) for entry in value]
    if not isinstance(value, str):
        return value
    whole = re.fullmatch(r"\$\{([^}]+)\}", value)
    if whole:
        return look_up(names, whole[1])
    return re.sub(r"\$\{([^}]+)\}", lambda match: str(look_up(names, match[1])), value)


def look_up(values: Any, path: str) -> Any:
    """Return the value at a path with dots, in nested groups.

    Raises:
        KeyError, TypeError: there is none.
    """
    for name in path.strip().split("."):
        values = values[name]
    return values


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested groups as ``group.name``, the form of DVC's and MLflow's params and metrics."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def flatten_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers in nested groups as ``group.name``."""
    return {
        name: float(value)
        for name, value in flatten(metrics).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _paths(entries: list[Any]) -> tuple[str, ...]:
    return tuple(entry if isinstance(entry, str) else next(iter(entry)) for entry in entries)

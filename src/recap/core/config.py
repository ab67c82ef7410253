"""Reads params.yaml into the groups' frozen dataclasses and reports every mistake in it at once."""

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Le
from pydantic import ConfigDict, TypeAdapter, ValidationError

from recap.core.plain_yaml import parse_yaml, read_content, shorten
from recap.errors import InputError

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""How every group's dataclass is checked: no unknown key, no conversion between types, finite numbers."""

Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Count = Annotated[int, Ge(1), Le(2**31 - 1)]
"""A number of steps or epochs, as large as anybody may want."""
Threads = Annotated[int, Ge(1), Le(256)]
MOST_MISTAKES = 50  # in one message

GROUPS = {
    "runtime": "recap.runtime.config:RuntimeConfig",
    "distributed": "recap.runtime.config:DistributedConfig",
    "data": "recap.sources.config:DataConfig",
    "tokenize": "recap.text.config:TokenizeConfig",
    "backbone": "recap.backbones.config:BackboneConfig",
    "features": "recap.backbones.config:FeaturesConfig",
    "reduce": "recap.features.config:ReduceConfig",
    "decoders": "recap.decoders.config:DecodersConfig",
    "train": "recap.training.config:TrainConfig",
    "evaluate": "recap.evaluation.config:EvaluateConfig",
    "visualize": "recap.explain.config:VisualizeConfig",
    "sanity": "recap.sanity.config:SanityConfig",
    "report": "recap.report.config:ReportConfig",
}
"""Where the dataclass of each group of params.yaml lives: beside the code that it configures."""

Group = TypeVar("Group")


def load(path: Path, group_class: type[Group]) -> Group:
    """Read one group of a params file, by its dataclass; the whole file is checked.

    Raises:
        InputError: the file cannot be read, or holds mistakes; the message has one line a mistake.
    """
    reference = f"{group_class.__module__}:{group_class.__qualname__}"
    name = next(name for name, target in GROUPS.items() if target == reference)
    group = load_all(path)[name]
    assert isinstance(group, group_class)
    return group


def load_all(path: Path) -> dict[str, Any]:
    """Read every group of a params file: group name -> frozen dataclass.

    Raises:
        InputError: as in ``load``.
    """
    values = read_values(read_content(path, "a params file"), path)
    try:
        return check_groups(values)
    except InputError as error:
        raise InputError(*(f"{path.name}: {mistake}" for mistake in str(error).split("\n"))) from None


def check_groups(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check every group of settings, as a params file has them: group name -> frozen dataclass.

    Raises:
        InputError: there are mistakes; the message has one line a mistake.
    """
    groups: dict[str, Any] = {}
    mistakes = [
        f"{shorten(name)}: expected one of the groups {', '.join(GROUPS)}; received an unknown key"
        for name in values
        if name not in GROUPS
    ]
    for name, reference in GROUPS.items():
        if name not in values:
            mistakes.append(f"{name}: expected a group of settings, received nothing")
            continue
        module, _, class_name = reference.partition(":")
        try:
            groups[name] = parse(name, values[name], getattr(importlib.import_module(module), class_name))
        except InputError as error:
            mistakes += str(error).split("\n")
    if mistakes:
        more = len(mistakes) - MOST_MISTAKES
        mistakes = mistakes[:MOST_MISTAKES] + ([f"and {more} mistakes more"] if more > 0 else [])
        raise InputError(*mistakes)
    return groups


def parse(name: str, values: Any, group_class: type[Group]) -> Group:
    """Check the values of a group, as JSON has them, and make its dataclass.

    Raises:
        InputError: there are mistakes, each named by its path from ``name`` on.
    """
    try:
        return TypeAdapter(group_class).validate_json(json.dumps(values))
    except ValidationError as error:
        raise InputError(*(_describe(name, dict(mistake)) for mistake in error.errors())) from None


def read_values(content: bytes, path: Path) -> dict[str, Any]:
    """Return the groups of a params file as they are written.

    Raises:
        InputError: it is no plain YAML, or has no groups.
    """
    try:
        values = parse_yaml(content)
    except ValueError as error:
        raise InputError(f"{path}: expected plain YAML, received {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected groups of settings, received {_received(values)}")
    return values


_EXPECTED = {
    "missing": "a value",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "finite_number": "a finite number",
    "dataclass_type": "a group of settings",
}


def _describe(group: str, mistake: dict[str, Any]) -> str:
    """Return a mistake in one line: path, expected, received."""
    keys = [shorten(str(key)) for key in mistake["loc"] if not str(key).startswith("function-")]
    path = ".".join([group, *keys])
    kind = mistake["type"]
    if kind == "unexpected_keyword_argument":
        return f"{path}: expected no such key, received {_received(mistake['input'])}"
    bounds = mistake.get("ctx", {})
    if kind in _EXPECTED:
        expected = _EXPECTED[kind]
    elif kind == "greater_than" and bounds.get("gt") == 0:
        expected = "a positive number"
    elif kind == "greater_than_equal" and bounds.get("ge") == 1:
        expected = "a positive integer"
    elif kind == "value_error":
        expected = str(bounds["error"])
    else:
        expected = re.sub(r"^.*?should (be|have) ", "a value ", mistake["msg"])
        expected = expected.replace("a value '", "'")
    received = "nothing" if kind == "missing" else _received(mistake["input"])
    return f"{path}: expected {expected}, received {received}"


def _received(value: Any) -> str:
    return shorten(json.dumps(value, ensure_ascii=False, default=str))

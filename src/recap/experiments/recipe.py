"""Runs the pipeline with the settings of a recipe, a file of those that differ from the committed ones."""

import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.config import check_groups, read_content, read_values
from recap.errors import InputError
from recap.experiments.experiment import set_params
from recap.workspace.definition import flatten, look_up


def read_recipe(path: Path, params: Path = paths.PARAMS) -> dict[str, Any]:
    """Read a recipe: groups of params.yaml with some of their settings.

    Returns:
        ``group.name`` -> value.

    Raises:
        InputError: the file cannot be read, names a setting that params.yaml lacks, or gives one a value that
            its stage would refuse; the message has one line a mistake.
    """
    settings = flatten(read_values(read_content(path, "a recipe"), path))
    values = read_values(read_content(params, "a params file"), params)
    known = flatten(values)
    unknown = [name for name in settings if name not in known]
    if unknown or not settings:
        received = ", ".join(unknown) or "none"
        raise InputError(f"{path.name}: expected settings of {params}, received {received}")
    check_groups(_change(values, settings))
    return settings


def find_mistakes(values: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return the mistakes, a line each, that settings would bring where a params file has none."""
    before = _mistakes(values)
    return [mistake for place, mistake in _mistakes(_change(values, settings)).items() if place not in before]


def _change(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a params file with some settings changed."""
    changed = deepcopy(dict(values))
    for name, value in settings.items():
        group, _, setting = name.rpartition(".")
        look_up(changed, group)[setting] = value
    return changed


def _mistakes(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the mistakes in groups of settings by their places."""
    try:
        check_groups(values)
    except InputError as error:
        return {mistake.partition(": ")[0]: mistake for mistake in str(error).split("\n")}
    return {}


def run_recipe(path: Path, environment: Mapping[str, str]) -> int:
    """Run `dvc exp run` in the checkout, named as the file; return its exit code.

    Raises:
        InputError: as ``read_recipe``.
    """
    settings = read_recipe(path)
    command = [sys.executable, "-m", "dvc", "exp", "run", "--name", path.stem, *set_params(settings)]
    return subprocess.run(command, env=dict(environment), check=False).returncode

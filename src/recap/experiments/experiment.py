"""Runs DVC experiments, each once: its name says what it is, and one that is there is not run again."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from recap.core import paths
from recap.core.hashes import hash_file
from recap.errors import InputError
from recap.experiments.interruption import keep_workspace
from recap.runtime.parent import MAKE, end_with_this_parent
from recap.workspace.definition import flatten
from recap.workspace.git import ask_git
from recap.workspace.lock_file import digest, mapping
from recap.workspace.pipeline import find_in, read_definition

REFERENCE = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(\S+) ([0-9a-f]{40})")
DIGITS = 8
REPORTED = Path("docs/seeds")
"""Holds what experiments found, for the page: it does not change what they are."""


def base_digest(root: Path, settings: Sequence[str]) -> str:
    """Return a digest of a checkout's code and settings, but for those that experiments change."""
    definition = read_definition(find_in(root))
    others = {name: value for name, value in flatten(definition.params).items() if name not in settings}
    sources = {path: md5 for path, md5 in definition.sources.items() if Path(path) != REPORTED}
    return digest(hash_file(root / paths.PIPELINE), sources, others)[:DIGITS]


def run_experiment(
    root: Path,
    name: str,
    settings: Mapping[str, Any],
    targets: Sequence[str],
    environment: Mapping[str, str],
    watch: Callable[[str], object] | None = None,
) -> str:
    """Run `dvc exp run` in a folder of its own, unless the experiment is there; return its commit.

    ``watch`` gets every line that stages write to stderr; what it raises ends the experiment.

    Raises:
        InputError: it failed, and what DVC and the stage say stands above; or one of this name has others of
            the checkout's settings.
    """
    revision = find_experiments(root).get(name)
    if revision:
        _check_settings(root, name, revision, settings)
        return revision
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", name]
    command += [*set_params(settings), *targets]
    own = {"RECAP_CHECKPOINTS": str(root.resolve() / paths.CHECKPOINTS), MAKE: str(os.getpid())}
    stderr = subprocess.PIPE if watch else None
    with (
        keep_workspace(root, settings),
        subprocess.Popen(
            command,
            cwd=root,
            env=dict(environment) | own,
            stderr=stderr,
            text=True,
            preexec_fn=end_with_this_parent,
        ) as process,
    ):
        try:
            for line in process.stderr or ():
                print(line, end="", file=sys.stderr, flush=True)
                if watch:
                    watch(line)
        except Exception:
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.terminate()  # the stage, so that DVC ends as after any that fails
            process.communicate()
            raise
    revision = find_experiments(root).get(name)  # it counts when it is there: a kill's leftover may be first
    if revision is None:
        raise InputError(
            f"{name}: expected `dvc exp run` to end with 0, received {process.returncode}; "
            "what is wrong stands above; the same command goes on from here"
        )
    return revision


def _check_settings(root: Path, name: str, revision: str, settings: Mapping[str, Any]) -> None:
    expected = {**flatten(mapping((root / paths.PARAMS).read_bytes())), **settings}
    received = flatten(mapping(ask_git(root, "show", f"{revision}:{paths.PARAMS}")))
    for key in sorted(expected.keys() | received.keys()):
        if expected.get(key) != received.get(key):
            raise InputError(
                f"{name}: expected an experiment with {key} {expected.get(key)}, received one with "
                f"{received.get(key)}; after `dvc exp remove {name}` it runs anew"
            )


def check_committed(root: Path) -> None:
    """Check that what names experiments, code and settings, is as in the last commit, which jobs clone.

    Raises:
        InputError: it is not, or git does not answer.
    """
    sources = read_definition(find_in(root)).sources
    inside = [path for path in sources if not Path(path).is_absolute() and Path(path) != REPORTED]
    names = [str(paths.PARAMS), str(paths.PIPELINE), *inside]
    changed = ask_git(root, "status", "--porcelain", "--", *names).decode().splitlines()
    if changed:
        raise InputError(
            f"{root.resolve()}: expected code and settings of the last commit, which jobs clone; received "
            f"changes of {', '.join(line[3:] for line in changed)}"
        )


def set_params(settings: Mapping[str, Any]) -> list[str]:
    """Return the options of `dvc exp run` that change settings."""
    return [part for key, value in settings.items() for part in ("--set-param", f"{key}={_hydra(value)}")]


def _hydra(value: Any) -> str:
    """Write a value as `--set-param` reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_hydra, value))}]"
    return repr(value) if isinstance(value, str) and re.search(r"[^\w./:-]", value) else str(value)


def find_experiments(root: Path) -> dict[str, str]:
    """Return DVC's experiments of a checkout: name -> commit."""
    lines = ask_git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").decode()
    return {found[1]: found[2] for found in map(REFERENCE.fullmatch, lines.splitlines()) if found}

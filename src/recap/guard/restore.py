"""Restores the committed settings and their outputs, from any state that a run left."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from recap.core import paths
from recap.core.artifacts import write_bytes
from recap.errors import InputError
from recap.guard.healing import fill_cache, heal, locked_outputs
from recap.workspace.cache import Cache
from recap.workspace.git import WRITTEN_BY_RUNS, ask_git, names_in
from recap.workspace.rwlock import writers
from recap.workspace.user_files import ENCODERS, SETTINGS


def restore(root: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Restore params.yaml, dvc.lock and the outputs of the last commit; code stays. Yields what was done.

    Raises:
        InputError: DVC is at work in the checkout, or git or DVC cannot do its part.
    """
    if busy := writers(root):
        raise InputError(f"restore: expected no DVC at work in this checkout, received process {busy[0]}")
    yield from heal(root)
    committed = ask_git(root, "show", f"HEAD:./{paths.PARAMS}")
    if (root / paths.PARAMS).is_file() and (root / paths.PARAMS).read_bytes() != committed:
        write_bytes(root / paths.PARAMS_BEFORE, (root / paths.PARAMS).read_bytes())
        yield f"{paths.PARAMS}: as committed; what was in it is in {paths.PARAMS_BEFORE}"
    names = names_in(ask_git(root, "ls-files", "-z", "--", str(paths.PARAMS), *WRITTEN_BY_RUNS))
    ask_git(root, "checkout", "--quiet", "HEAD", "--", *names)
    for path in _records_of_inputs(root):
        path.unlink()
    yield from _restore_outputs(root, environment, set(names))


def _records_of_inputs(root: Path) -> list[Path]:
    """Return the digests of the user's files that other settings left, which git does not know."""
    records = [*(f"{name}.json" for name in SETTINGS), ENCODERS, "dvc.lock"]
    arguments = ("ls-files", "-z", "--others", "--exclude-standard", "--")
    found = ask_git(root, *arguments, *(f"{paths.INPUTS}/{name}" for name in records))
    return [root / name for name in names_in(found)]


def _restore_outputs(root: Path, environment: Mapping[str, str], tracked: set[str]) -> Iterator[str]:
    """Restore the outputs that are in the cache, or correct in their place."""
    cache = Cache(root)
    outputs = locked_outputs(root)
    files = {own for md5 in outputs.values() for own in (cache.expand("", md5) or {}).values()}
    yield from cache.remove_bad({*outputs.values(), *files})
    fill_cache(root)  # of the lock that is committed; DVC would remove correct outputs that the cache lacks
    untracked = [path for path in outputs if path not in tracked]
    held = [path for path in untracked if cache.holds(outputs[path])]
    absent = [path for path in untracked if path not in held]
    if held:
        command = [sys.executable, "-m", "dvc", "checkout", "--quiet", "--force", *held]
        result = subprocess.run(command, cwd=root, env=dict(environment), capture_output=True)
        if result.returncode:
            reason = " ".join(result.stderr.decode(errors="replace").split())
            raise InputError(f"{root}: expected `dvc checkout` to succeed, received: {reason}")
    yield f"{len(outputs) - len(absent)} outputs are as committed"
    if absent:
        yield f"{len(absent)} are not in DVC's cache, make repro makes them: {', '.join(absent)}"
    if others := [path for path in absent if (root / path).exists()]:
        yield f"{len(others)} of them hold what other settings made, until then: {', '.join(others)}"

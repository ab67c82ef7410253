"""All checks around a stage."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from recap.core import paths
from recap.core.config import load
from recap.core.hashes import hash_file, output_files
from recap.errors import InputError
from recap.guard.healing import keep_lock
from recap.guard.reading import check_unchanged, read
from recap.guard.receipt import forget_wrong, leave_receipt
from recap.runtime.config import DistributedConfig
from recap.runtime.writer import only_writer
from recap.workspace.cache import Cache
from recap.workspace.definition import read_definitions
from recap.workspace.root import repository_root
from recap.workspace.user_files import Digests, check_current, read_digests


@contextmanager
def guard(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Run a stage alone; refuse its outputs when its inputs changed meanwhile, or the cache has no room.

    Of several processes that share a stage, only the one that DVC started is guarded. DVC names the stage in
    the environment's DVC_STAGE; ``command`` is its script and the arguments.

    Raises:
        InputError: another process runs the stage, its inputs changed, or the cache has no room.
    """
    if _is_guarded_elsewhere(environment):
        yield
        return
    keep_checkpoints(environment)
    script, *arguments = command
    by_command = "@".join([Path(script).stem, *arguments[:1]])
    stages = read_definitions(paths.PIPELINE, paths.PARAMS)
    stage = stages.get(environment.get("DVC_STAGE", by_command))
    with only_writer(stage.name if stage else by_command, stage.outputs if stage else ()):
        _check_receipts()
        keep_lock(Path())
        before = read(stage, stages) if stage else None
        if stage and (named := read_digests(stage.deps)):
            kept = repository_root(environment) / paths.DIGESTS
            check_current(stage.name, named, Digests(kept, paths.REGISTRY))
        yield
        if stage and before:
            check_room(stage.name, stage.outputs, Path())
            leave_receipt(stage, before)
            check_unchanged(stage, before, read(stage, stages))


def _is_guarded_elsewhere(environment: Mapping[str, str]) -> bool:
    """Return whether a guarded stage started this process as a worker, or another machine records the stage.

    torchrun's variables alone tell nothing: clusters set them for every command.
    """
    if "WORLD_SIZE" in environment and "recap.run_stage" in psutil.Process(os.getppid()).cmdline():
        return True
    if environment.get("PET_NODE_RANK", "0") == "0" or environment.get("PET_NNODES", "1") == "1":
        return False
    return load(paths.PARAMS, DistributedConfig).processes > 1


def keep_checkpoints(environment: Mapping[str, str]) -> None:
    """Keep an experiment's checkpoints outside its own folder, where it finds them after a kill."""
    kept = environment.get("RECAP_CHECKPOINTS")
    if kept and not paths.CHECKPOINTS.exists():
        Path(kept).mkdir(parents=True, exist_ok=True)
        paths.CHECKPOINTS.parent.mkdir(parents=True, exist_ok=True)
        paths.CHECKPOINTS.symlink_to(kept)


def _check_receipts() -> None:
    """Stop when DVC recorded an output wrongly, a moment after its stage ended."""
    if wrong := forget_wrong(Path()):
        raise InputError(
            *(
                f"{name}: expected dvc.lock to name what the stage read, received another "
                f"{', '.join(differing)}; DVC has forgotten it, run it again"
                for name, differing in wrong.items()
            )
        )


def check_room(stage: str, outputs: Sequence[str], root: Path) -> None:
    """Compare the size of a stage's outputs with what the disk of DVC's cache has left.

    Raises:
        InputError: the outputs that the cache does not hold yet are larger than the room.
    """
    cache = Cache(root)
    disk = next(folder for folder in (cache.folder, *cache.folder.parents) if folder.is_dir())
    room = shutil.disk_usage(disk).free
    files = [path for output in outputs for path in output_files(root / output)]
    if sum(path.stat().st_size for path in files) <= room:
        return
    needed = sum(path.stat().st_size for path in files if not cache.path(hash_file(path)).is_file())
    if needed > room:
        raise InputError(
            f"{stage}: expected {needed:,} bytes free for DVC's cache in {disk}, received {room:,}; "
            "its outputs are not recorded, make room and run it again"
        )

"""What the door of the stages does around each of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from recap.core import paths
from recap.errors import InputError
from recap.guard.healing import keep_lock
from recap.guard.reading import check_unchanged, read
from recap.guard.receipt import compare_receipts, forget, leave_receipt
from recap.guard.room import check_room
from recap.runtime.writer import only_writer
from recap.tracking.place import repository_root
from recap.workspace.definition import read_definitions
from recap.workspace.user_files import Digests, check_current, read_digests


@contextmanager
def guard(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Run a stage alone, and refuse its outputs when what it read was changed meanwhile, or DVC has no room.

    Of several processes that share a stage, the one that DVC started is guarded.

    Args:
        command: the stage's script and its arguments.
        environment: of the process; DVC says in DVC_STAGE which stage it runs.

    Raises:
        InputError: another process runs the stage, or what it read is not what is there at its end, or
            DVC's cache has no room for its outputs.
    """
    if "WORLD_SIZE" in environment or environment.get("PET_NODE_RANK", "0") != "0":
        yield
        return
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
            check_current(stage.name, named, paths.PARAMS, Digests(kept, paths.REGISTRY))
        yield
        if stage and before:
            check_room(stage.name, stage.outputs, Path())
            leave_receipt(stage, before)
            check_unchanged(stage, before, read(stage, stages))


def _check_receipts() -> None:
    """Refuse to go on from an output that DVC recorded wrongly, a moment after its stage ended."""
    wrong = compare_receipts(Path())
    for name in wrong:
        forget(Path(), name)
    if wrong:
        raise InputError(
            "\n".join(
                f"{name}: expected dvc.lock to name what the stage read, received another "
                f"{', '.join(differing)}; DVC has forgotten it, run it again"
                for name, differing in wrong.items()
            )
        )

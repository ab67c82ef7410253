"""Room in DVC's cache: DVC records outputs that a full disk kept out of it, and says that all went well."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from recap.core.hashes import hash_file, output_files
from recap.errors import InputError
from recap.tracking.trees import Cache


def check_room(stage: str, outputs: Sequence[str], root: Path) -> None:
    """Compare what a stage made with what the disk of DVC's cache has left.

    Args:
        stage: its name, for the message.
        outputs: the files and folders that it made, from the root on.
        root: the checkout.

    Raises:
        InputError: what the cache does not hold yet is larger than the room.
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

"""A folder that appears whole, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recap.errors import InputError


@contextmanager
def new_folder(directory: Path) -> Iterator[Path]:
    """Yield a folder to fill, which becomes ``directory`` at the end and goes when something fails.

    Raises:
        InputError: ``directory`` is there already and not empty.
    """
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise InputError(f"{directory}: expected a new folder, received one that is there")
    if directory.exists() and directory.samefile("."):
        raise InputError(f"{directory}: expected a new folder, received the one that this runs in")
    part = directory.with_name(f".{os.getpid()}.part")  # short: a name may be as long as the disk allows
    try:
        part.mkdir(parents=True)
        yield part
        part.rename(directory)
    except OSError as error:
        if str(error.filename) == str(part):  # a name that nobody knows
            error.filename = str(directory)
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)

"""Output folders that a killed run may have left half filled."""

import shutil
from pathlib import Path


def make_empty(directory: Path) -> None:
    """Make ``directory``, or remove all that is in it, so that nothing of an earlier run stays."""
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    directory.mkdir(parents=True, exist_ok=True)

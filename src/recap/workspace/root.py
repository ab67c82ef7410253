"""Where the checkout is."""

from collections.abc import Mapping
from pathlib import Path

from recap.errors import InputError


def repository_root(environment: Mapping[str, str]) -> Path:
    """Return DVC's root: the checkout, also in an experiment's temporary workspace.

    Outside of a stage it is searched from the working directory upwards, as DVC and git do.
    """
    if "DVC_ROOT" in environment:
        return Path(environment["DVC_ROOT"]).resolve()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def check_checkout(environment: Mapping[str, str]) -> None:
    """Check that there is a pipeline, so that nothing is made where there is none.

    Raises:
        InputError: neither the working directory nor a folder around it has one.
    """
    root = repository_root(environment)
    if not (root / "dvc.yaml").is_file():
        raise InputError(f"recap: expected to be in a checkout with dvc.yaml, received {root}")

"""What dvc.yaml declares, as DVC itself reads it: every stage of a matrix with its outputs."""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recap.errors import InputError

LEFT_OUT = (".dvc", ".git", "dvc.lock")
"""What DVC does not see of a checkout: here it only reads what stages there shall be."""
PREFIX = "recap-pipeline-"


def declared_outputs(root: Path) -> dict[str, list[str]]:
    """The outputs of every stage that ``root/dvc.yaml`` declares, in its order, by the stage's name.

    DVC reads the files through a folder of links, so that it writes nothing into the checkout.

    Raises:
        InputError: the file is absent, DVC cannot read it, or it has no stages.
    """
    path = root / "dvc.yaml"
    if not path.is_file():
        raise InputError(f"{path}: expected a pipeline of DVC, received no such file")
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, _silence():
        try:
            for entry in root.resolve().iterdir():
                if entry.name not in LEFT_OUT:
                    (Path(folder) / entry.name).symlink_to(entry)
            stages = _read_stages(Path(folder))
        except Exception as error:
            reasons = [str(error), str(error.__cause__ or "")]
            reason = re.sub(rf"[^\s']*{PREFIX}[^\s'/]*/", "", " ".join(" ".join(reasons).split()))
            raise InputError(f"{path}: expected a pipeline of DVC, received: {reason}") from None
    if not stages:
        raise InputError(f"{path}: expected a pipeline of DVC, received no stages")
    return stages


def _read_stages(folder: Path) -> dict[str, list[str]]:
    from dvc.dvcfile import load_file
    from dvc.repo import Repo

    (folder / ".dvc").mkdir()
    settings = {"core": {"no_scm": True, "site_cache_dir": str(folder / ".dvc" / "site")}}
    repo = Repo(str(folder), config=settings)
    try:
        stages = load_file(repo, str(folder / "dvc.yaml")).stages
        return {stage.name: [output.def_path for output in stage.outs] for stage in stages.values()}
    finally:
        repo.close()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what DVC logs from the terminal; what goes wrong is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)

"""The stages that dvc.yaml declares, as DVC itself reads them, with their outputs and inputs."""

import logging
import re
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from recap.errors import InputError

LEFT_OUT = (".dvc", ".git", "dvc.lock")
"""What DVC does not see of a checkout: here it only reads what stages there shall be."""
PREFIX = "recap-pipeline-"


Answer = TypeVar("Answer")


def declared_outputs(root: Path) -> dict[str, list[str]]:
    """Return the outputs of every stage that ``root/dvc.yaml`` declares, in its order, by name.

    Raises:
        InputError: the file is absent, DVC cannot read it, or it has no stages.
    """
    return _ask(root, lambda stage: [output.def_path for output in stage.outs])


def present_inputs(root: Path, made: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return command, dependencies but those in ``made``, and params as DVC would record them, by stage.

    Raises:
        InputError: as in ``declared_outputs``.
    """

    def inputs(stage: Any) -> dict[str, Any]:
        from dvc.exceptions import DvcException
        from dvc.stage.serialize import to_single_stage_lockfile

        found = []
        for dependency in stage.deps:
            if dependency.def_path not in made:
                try:
                    dependency.save()
                except DvcException:  # it is absent
                    continue
                found.append(dependency)
        stage.deps, stage.outs = found, []
        return dict(to_single_stage_lockfile(stage))

    return _ask(root, inputs)


def _ask(root: Path, question: Callable[[Any], Answer]) -> dict[str, Answer]:
    """Apply a function to every stage, in a folder of links: so DVC writes nothing into the checkout."""
    path = root / "dvc.yaml"
    if not path.is_file():
        raise InputError(f"{path}: expected a pipeline of DVC, received no such file")
    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # errors are raised
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        try:
            for entry in root.resolve().iterdir():
                if entry.name not in LEFT_OUT:
                    (Path(folder) / entry.name).symlink_to(entry)
            answers = _ask_stages(Path(folder), question)
        except Exception as error:
            reasons = [str(error), str(error.__cause__ or "")]
            reason = re.sub(rf"[^\s']*{PREFIX}[^\s'/]*/", "", " ".join(" ".join(reasons).split()))
            raise InputError(f"{path}: expected a pipeline of DVC, received: {reason}") from None
    if not answers:
        raise InputError(f"{path}: expected a pipeline of DVC, received no stages")
    return answers


def _ask_stages(folder: Path, question: Callable[[Any], Answer]) -> dict[str, Answer]:
    from dvc.dvcfile import load_file
    from dvc.repo import Repo

    (folder / ".dvc").mkdir()
    settings = {"core": {"no_scm": True, "site_cache_dir": str(folder / ".dvc" / "site")}}
    repo = Repo(str(folder), config=settings)
    try:
        stages = load_file(repo, str(folder / "dvc.yaml")).stages
        return {stage.name: question(stage) for stage in stages.values()}
    finally:
        repo.close()

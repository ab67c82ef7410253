"""A pipeline as DVC sees it: its stages, those that dvc.lock records, and the files that they made.

DVC's own API reads dvc.yaml, in a working tree and in a commit.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.core.hashes import folder_files, hash_list
from recap.errors import InputError
from recap.workspace.cache import Cache
from recap.workspace.definition import fill
from recap.workspace.lock_file import Find, Outputs, digest, mapping, overlap, parse_lock

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

LARGEST_SOURCE = 2**23  # bytes; what is larger, or a folder that holds it, is no code


@dataclass(frozen=True)
class Definition:
    """The inputs of a pipeline that no stage makes: known before one has run, the same in a commit."""

    fingerprint: str  # SHA-256 of the params, of the stages in dvc.yaml, and of the files that they name
    sources: dict[str, str]  # MD5 of those files and folders, as dvc.lock has it
    params: dict[str, Any]  # the content of params.yaml


def read_definition(find: Find) -> Definition:
    """Read dvc.yaml and params.yaml without DVC, which takes long to import; empty where they are no YAML."""
    try:
        params, content = (mapping(find(name).get(name, b"")) for name in ("params.yaml", "dvc.yaml"))
    except ValueError:
        return Definition("", {}, {})
    outputs = [name for part in ("outs", "metrics", "plots") for name in _named(content, part)]
    files = {name.partition(":")[0] for part in ("params", "vars") for name in _named(content, part)}
    sources: dict[str, str] = {}
    for name in {*_named(content, "deps"), *files} - {"params.yaml"}:
        with suppress(KeyError, TypeError):  # a template of a matrix: stages make what it names
            path = str(fill(name, params))
            is_made = any(overlap(path, output) for output in outputs)
            files_there = {} if is_made else find(path)
            if files_there:
                hashes = {file: hashlib.md5(text).hexdigest() for file, text in files_there.items()}
                sources[path] = _hash(path, hashes)
    stages = content.get("stages") or {}
    for stage in stages.values():
        for part in ("desc", "meta"):  # words about it
            stage.pop(part, None)
    return Definition(digest(params, stages, content.get("vars"), sources), sources, params)


def find_in(root: Path) -> Find:
    """Return a function that finds files in a working tree."""

    def find(path: str) -> dict[str, bytes]:
        place = root / path
        inside = {f"{path}/{name}": file for name, file in folder_files(place).items()}
        files = {path: place} if place.is_file() else inside
        if any(file.stat().st_size > LARGEST_SOURCE for file in files.values()):
            return {}
        return {name: file.read_bytes() for name, file in files.items()}

    return find


def _find_in_commit(repo: "Repo") -> Find:
    def find(path: str) -> dict[str, bytes]:
        fs, place = repo.fs, repo.fs.join(repo.root_dir, path)
        names = [place] if fs.isfile(place) else [*fs.find(place)] if fs.isdir(place) else []
        if any(fs.size(name) > LARGEST_SOURCE for name in names):
            return {}
        return {fs.relpath(name, repo.root_dir): fs.cat_file(name) for name in names}

    return find


class Pipeline:
    """The pipeline of a working tree or a commit, with the stages that have outputs."""

    def __init__(self, repo: "Repo", find: Find, cache: Cache) -> None:
        """Read a pipeline.

        Raises:
            Exception: whatever DVC finds wrong with it.
        """
        from dvc.dvcfile import load_file
        from dvc.fs import GitFileSystem

        found = load_file(repo, repo.fs.join(repo.root_dir, "dvc.yaml")).stages.values()
        self.stages: dict[str, PipelineStage] = {stage.name: stage for stage in found if stage.outs}
        self.definition = read_definition(find)
        lock = parse_lock(find("dvc.lock").get("dvc.lock", b""))
        self.outputs = Outputs(lock, cache, find)
        outs = [out for stage in self.stages.values() for out in stage.outs]
        self.metrics = frozenset(out.def_path for out in outs if out.metric)
        self._in_commit = isinstance(repo.fs, GitFileSystem)  # whose protocol is "local" too

    def is_here(self, name: str) -> bool:
        """Return whether DVC would skip a stage and its outputs are here."""
        stage, made = self.stages[name], self.outputs.made
        if stage.cmd_changed or name not in self.outputs.lock:
            return False
        # a commit holds no data: what stages made is compared as dvc.lock has it
        data = [dep for dep in stage.deps if any(overlap(dep.def_path, out) for out in made)]
        deps = [dep for dep in stage.deps if not self._in_commit or dep not in data]
        if self._in_commit and any(
            dep.hash_info.value != _hash(dep.def_path, self.outputs.files([dep.def_path])) for dep in data
        ):
            return False
        return not any(dep.status() for dep in deps) and all(
            out.hash_info
            and made.get(out.def_path)
            and ((out.exists and not out.changed_checksum()) or (out.use_cache and not out.changed_cache()))
            for out in stage.outs
        )


def _hash(path: str, files: Mapping[str, str]) -> str:
    """Return the MD5 of the file at a path, or of the folder with these files, path -> MD5."""
    return files.get(path) or hash_list({name.removeprefix(f"{path}/"): md5 for name, md5 in files.items()})


def open_repository(folder: Path) -> "Repo":
    """Open a repository of DVC, which `with` closes.

    Raises:
        InputError: there is none, or git does not know it; the message says the way out.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        repo = Repo(str(folder))
        repo.scm  # noqa: B018  it is looked for at first use
        return repo
    except (NotDvcRepoError, SCMError) as error:
        raise InputError(
            f"{folder}: expected a checkout of git and DVC, received: {' '.join(str(error).split())}; "
            "in a copy without git run `git init`, or `dvc config core.no_scm true`"
        ) from None


@contextmanager
def open_pipeline(repo: "Repo", revision: str | None = None) -> Iterator[Pipeline]:
    """Read the pipeline of a repository's working tree, or of a commit, such as an experiment's."""
    from dvc.repo.brancher import switch

    root = Path(repo.root_dir)  # in a commit, the folder is another one
    with switch(repo, revision) if revision else nullcontext():
        yield Pipeline(repo, _find_in_commit(repo) if revision else find_in(root), Cache(root))


def experiments(repo: "Repo") -> list[tuple[str, str, str]]:
    """Return DVC's experiments: name, commit, and the commit that each began with."""
    from dvc.repo.experiments.utils import exp_refs
    from dvc.scm import NoSCM

    if isinstance(repo.scm, NoSCM):
        return []
    return [(info.name, repo.scm.get_ref(str(info)), info.baseline_sha) for info in exp_refs(repo.scm)]


def _named(values: Any, part: str) -> Iterator[str]:
    """Yield the texts in all lists of a name, such as deps; of a map with options its first key."""
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if key == part and isinstance(value, list):
            yield from (text for own in value for text in (own if isinstance(own, dict) else [own]))
        else:
            yield from _named(value, part)

"""The pipeline that a checkout, a commit or a journal describes, and what its dvc.lock proves."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from recap.core.hashes import hash_list
from recap.core.plain_yaml import parse_yaml
from recap.tracking.trees import Cache, Tree, read_bytes
from recap.workspace.definition import Stage, look_up, resolve
from recap.workspace.user_files import FOLDER


class Pipeline:
    """What dvc.yaml, params.yaml and dvc.lock of a tree say."""

    def __init__(self, tree: Tree, cache: Cache, sources: Mapping[str, str] | None = None) -> None:
        """Read a tree.

        Args:
            tree: where dvc.yaml, params.yaml, dvc.lock and the code are.
            cache: DVC's, for the files in folders.
            sources: MD5 of code files that are known already; others are read from the tree.

        Raises:
            ValueError: dvc.yaml, params.yaml or dvc.lock is no YAML, or a template does not resolve.
        """
        self.tree = tree
        self.cache = cache
        self._sources = dict(sources or {})
        self.params = self._load("params.yaml")
        definition = self._load("dvc.yaml")
        self.lock: dict[str, Any] = self._load("dvc.lock").get("stages") or {}
        try:
            self.stages = {
                stage.name: stage for stage in resolve(definition.get("stages") or {}, self.params)
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"dvc.yaml: expected templates that resolve, received: {error}") from None

    def _load(self, name: str) -> dict[str, Any]:
        content = self.tree.read(name)
        try:
            values = parse_yaml(content or b"")
        except ValueError as error:
            raise ValueError(f"{name}: expected plain YAML, received {error}") from None
        return values if isinstance(values, dict) else {}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what determines the outputs as DVC sees it: params, stages, and the bytes of their code.

        It is known before a stage has run, and is the same for a checkout, a commit and an experiment's
        workspace. Hashing all of the source would split pipelines on edits that change no output.
        """
        outside = {dep for stage in self.stages.values() for dep in stage.deps if not self._is_produced(dep)}
        stages = [
            [stage.name, stage.command, stage.params, stage.deps, stage.outputs]
            for stage in self.stages.values()
        ]
        content = [self.params, sorted(stages), sorted((dep, self._source_digest(dep)) for dep in outside)]
        return _hash(*content)

    def key(self, stage: Stage) -> str:
        """SHA-256 of what determines a stage's outputs: the same for the run that made them and for reuse."""
        deps = {dep: self.digest(dep) for dep in stage.deps}
        return _hash(stage.name, stage.command, self.stage_params(stage), deps)

    def locked_key(self, stage: Stage) -> str:
        """The key of the run that made the outputs in dvc.lock, whatever was edited since."""
        entry = self.lock[stage.name]
        params = {name: value for group in entry.get("params", {}).values() for name, value in group.items()}
        deps = {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}
        return _hash(stage.name, entry["cmd"], params, deps)

    def makers(self, path: str) -> list[Stage]:
        """The stages in dvc.lock that make a file, a folder around it, or something in it; "." is all."""
        return [
            stage
            for stage in self.stages.values()
            if stage.name in self.lock
            and any(path == "." or _overlap(output, path) for output in self.outputs(stage))
        ]

    def digest(self, path: str) -> str | None:
        """The MD5 that DVC would give a dependency: of code from its bytes, of data from dvc.lock.

        None when dvc.lock and the cache do not tell.
        """
        if not self._is_produced(path):
            return self._source_digest(path)
        if path in self._locked_outputs:
            return self._locked_outputs[path]
        files: dict[str, str] = {}
        for output, md5 in self._locked_outputs.items():
            if _overlap(output, path):
                expanded = self.cache.expand(output, md5)
                if expanded is None:
                    return None
                files |= expanded
        if path in files:
            return files[path]
        inside = {
            name.removeprefix(f"{path}/"): md5 for name, md5 in files.items() if name.startswith(f"{path}/")
        }
        return hash_list(inside) if inside else None

    def is_fresh(self, stage: Stage) -> bool:
        """Whether dvc.lock holds this very stage: DVC would skip it, and its locked outputs are its own."""
        return self._freshness(stage.name)

    def stage_params(self, stage: Stage) -> dict[str, Any]:
        """The params that the stage depends on: name -> value or group."""
        return {name: look_up(self.params, name) for name in stage.params}

    def inputs(self, stage: Stage) -> dict[str, str]:
        """The data that the stage reads: path -> MD5 in dvc.lock, as far as it tells.

        The user's own files are named by their settings.
        """
        digests = {dep: self.digest(dep) for dep in stage.deps if self._is_produced(dep)}
        for dep in stage.deps:
            if dep.startswith(f"{FOLDER}/"):
                digests |= json.loads(self.tree.read(dep) or b"{}")
        return {dep: md5[:36] for dep, md5 in digests.items() if md5}  # all that MLflow takes

    def outputs(self, stage: Stage) -> dict[str, str]:
        """The stage's outputs in dvc.lock: path -> MD5."""
        return {entry["path"]: entry["md5"] for entry in self.lock[stage.name].get("outs", [])}

    def files(self, stage: Stage) -> dict[str, str]:
        """The files of the stage's outputs as far as dvc.lock and the cache tell: path -> MD5."""
        found: dict[str, str] = {}
        for path, md5 in self.outputs(stage).items():
            found |= self.cache.expand(path, md5) or {}
        return found

    def locked_files(self, paths: Iterable[str]) -> dict[str, str]:
        """The files in dvc.lock that are one of the paths or lie in one: path -> MD5."""
        wanted = list(paths)
        found: dict[str, str] = {}
        for output, md5 in self._locked_outputs.items():
            if any(_overlap(output, path) for path in wanted):
                found |= self.cache.expand(output, md5) or {}
        return {name: md5 for name, md5 in found.items() if any(_overlap(name, path) for path in wanted)}

    def content(self, path: str, md5: str) -> bytes | None:
        """The bytes of an output's file: from the cache, or the tree when they are the same there."""
        for content in (read_bytes(self.cache.path(md5)), self.tree.read(path)):
            if content is not None and hashlib.md5(content).hexdigest() == md5:
                return content
        return None

    def metrics(self, stage: Stage) -> dict[str, Any]:
        """The content of the stage's metrics files, and of summaries in its outputs, merged."""
        merged: dict[str, Any] = {}
        files = self.files(stage)
        for path in (*stage.metrics, *(name for name in sorted(files) if name.endswith("/summary.json"))):
            content = self.content(path, files[path])
            values = json.loads(content) if content is not None else {}
            merged |= values if isinstance(values, dict) else {}
        return merged

    def _freshness(self, name: str) -> bool:
        if name not in self._fresh:
            self._fresh[name] = False  # ends the recursion; a pipeline has no cycles
            self._fresh[name] = self._matches_lock(self.stages[name])
        return self._fresh[name]

    def _matches_lock(self, stage: Stage) -> bool:
        entry = self.lock.get(stage.name)
        if entry is None or entry["cmd"] != stage.command:
            return False
        locked_params = {
            name: value for group in entry.get("params", {}).values() for name, value in group.items()
        }
        if locked_params != self.stage_params(stage):
            return False
        locked_deps = {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}
        if set(locked_deps) != set(stage.deps) or set(self.outputs(stage)) != set(stage.outputs):
            return False
        if any(self.digest(dep) not in (None, md5) for dep, md5 in locked_deps.items()):
            return False
        return all(self._freshness(name) for dep in stage.deps for name in self._producers(dep))

    def _producers(self, path: str) -> list[str]:
        return [
            stage.name
            for stage in self.stages.values()
            if any(_overlap(output, path) for output in stage.outputs)
        ]

    def _is_produced(self, path: str) -> bool:
        return bool(self._producers(path))

    def _source_digest(self, path: str) -> str | None:
        if path not in self._sources:
            content = self.tree.read(path)
            self._sources[path] = hashlib.md5(content).hexdigest() if content is not None else ""
        return self._sources[path] or None

    @cached_property
    def _fresh(self) -> dict[str, bool]:
        return {}

    @cached_property
    def _locked_outputs(self) -> dict[str, str]:
        return {
            entry["path"]: entry["md5"]
            for name in self.stages
            for entry in self.lock.get(name, {}).get("outs", [])
        }


def _hash(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _overlap(one: str, other: str) -> bool:
    """Whether a path is the other or lies in it."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")

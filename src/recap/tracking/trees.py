"""Where files are read from: a working tree, a commit, DVC's cache."""

import json
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Protocol


class Tree(Protocol):
    """Files by path relative to the repository: a folder, a commit, a journal."""

    def read(self, path: str) -> bytes | None:
        """A file's bytes, None when it is absent."""
        ...


class FolderTree:
    """The files of a working tree."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes | None:
        return read_bytes(self._root / path)


class CommitTree:
    """The files of a git commit, such as a DVC experiment's."""

    def __init__(self, root: Path, commit: str, blobs: dict[str, bytes]) -> None:
        """Open a commit.

        Args:
            root: the git repository.
            commit: its hash.
            blobs: contents by git's hash, kept between commits, which share most files.
        """
        self._root = root
        self._blobs = blobs
        self._names: dict[str, str] = {}
        for line in self._git("ls-tree", "-r", "-z", commit).decode().split("\0"):
            description, _, path = line.partition("\t")
            if path:
                self._names[path] = description.split()[2]

    def read(self, path: str) -> bytes | None:
        name = self._names.get(path)
        if name is None:
            return None
        if name not in self._blobs:
            self._blobs[name] = self._git("cat-file", "blob", name)
        return self._blobs[name]

    def _git(self, *arguments: str) -> bytes:
        return subprocess.run(
            ["git", "-C", str(self._root), *arguments], capture_output=True, check=True
        ).stdout


class Cache:
    """DVC's cache: contents by MD5."""

    def __init__(self, root: Path) -> None:
        settings = ConfigParser()
        settings.read([root / ".dvc" / "config", root / ".dvc" / "config.local"])
        folder = settings.get("cache", "dir", fallback="cache")
        self.folder = (root / ".dvc" / folder).resolve() / "files" / "md5"

    def path(self, md5: str) -> Path:
        return self.folder / md5[:2] / md5[2:]

    def expand(self, path: str, md5: str) -> dict[str, str] | None:
        """The files of an output, path -> MD5; None when the cache does not know its folder."""
        if not md5.endswith(".dir"):
            return {path: md5}
        try:
            entries = json.loads(self.path(md5).read_bytes())
        except (OSError, ValueError):
            return None
        return {f"{path}/{entry['relpath']}": entry["md5"] for entry in entries}


def read_bytes(path: Path) -> bytes | None:
    """A file's bytes, None when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None

"""DVC's cache."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from recap.core.artifacts import write_bytes
from recap.core.hashes import hash_file, list_folder

HEX_DIGITS = 32


class Cache:
    """DVC's cache: contents by MD5."""

    def __init__(self, root: Path) -> None:
        """Find the cache of a checkout."""
        configured = _configured(root)
        self.folder, self.runs = configured / "files" / "md5", configured / "runs"

    def path(self, md5: str) -> Path:
        """Return the path of a content."""
        return self.folder / md5[:2] / md5[2:]

    def expand(self, path: str, md5: str) -> dict[str, str] | None:
        """Return the files of an output, path -> MD5; None when the cache does not know its folder."""
        if not md5.endswith(".dir"):
            return {path: md5}
        try:
            content = self.path(md5).read_bytes()
        except OSError:
            return None
        if f"{hashlib.md5(content).hexdigest()}.dir" != md5:  # damaged
            return None
        return {f"{path}/{entry['relpath']}": entry["md5"] for entry in json.loads(content)}

    def holds(self, md5: str) -> bool:
        """Return whether an output is here as dvc.lock records it, a folder with all of its files."""
        files = self.expand("", md5)
        return files is not None and all(self.path(own).is_file() for own in [md5, *files.values()])

    def add(self, path: Path) -> None:
        """Copy an output into the cache, as DVC does after a stage."""
        if path.is_dir():
            content = list_folder(path)
            for entry in json.loads(content):
                self._add_file(entry["md5"], path / entry["relpath"])
            self._publish(hashlib.md5(content).hexdigest() + ".dir", content)
        else:
            self._add_file(hash_file(path), path)

    def remove_bad(self, wanted: Iterable[str] | None = None) -> Iterator[str]:
        """Hash objects, all or those of some MD5; remove what does not fit its name; yield a line each."""
        paths = sorted(self.folder.glob("??/*") if wanted is None else map(self.path, wanted))
        paths = [path for path in paths if path.is_file()]
        names = {path: f"{path.parent.name}{path.name}".removesuffix(".dir") for path in paths}
        objects = {path: name for path, name in names.items() if len(name) == HEX_DIGITS}
        with ThreadPoolExecutor() as pool:
            for (path, md5), own in zip(objects.items(), pool.map(hash_file, objects), strict=True):
                if own != md5:
                    path.unlink()
                    yield f"{path}: its content is not what its name says, removed"

    def _add_file(self, md5: str, path: Path) -> None:
        if not self.path(md5).is_file():
            self._publish(md5, path.read_bytes())

    def _publish(self, md5: str, content: bytes) -> None:
        write_bytes(self.path(md5), content)
        self.path(md5).chmod(0o444)


def _configured(root: Path) -> Path:
    """Return the cache folder of DVC's settings: the checkout's before the user's and the machine's."""
    from dvc.config import Config, ConfigError

    folder = None
    with suppress(ConfigError):
        folder = Config(str(root / ".dvc"), validate=False).get("cache", {}).get("dir")
    return Path(folder or root / ".dvc" / "cache").resolve()

"""The user's own files by content: files named by settings, digested once and again after a change.

A file is recognised by size, time of the last change and inode, so that a look costs little.
"""

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.hashes import hash_file, hash_list, output_files
from recap.core.plain_yaml import read_yaml
from recap.errors import InputError
from recap.sources.registry import find_remote, is_url
from recap.workspace.definition import look_up

SETTLED = 2.0  # seconds; a file changed a moment ago may change again within the clock's resolution

SETTINGS = {
    "coco": (
        "data.coco.archive",
        "data.coco.train_captions",
        "data.coco.test_captions",
        "data.language_captions",
    ),
    "folder": (
        "data.folder.images",
        "data.folder.train_captions",
        "data.folder.validation_captions",
        "data.folder.test_captions",
        "data.language_captions",
    ),
    **dict.fromkeys(
        ("squeezenet1_1", "vgg16", "resnet50", "resnet101"), ("features.weights", "features.class_names")
    ),
    "given": ("features.given",),
}
"""The settings that name files, by the source or the backbone that reads them."""
ENCODERS = "encoders"
"""The folder of the user's encoders."""
OF_ENCODER = ("features.backbone", "features.weights")
"""Those of an encoder of the user's."""


class Digests:
    """Digests of files, kept between processes."""

    def __init__(self, kept: Path, registry: Path) -> None:
        """Read the digests that earlier processes left in ``kept``; ``registry`` pins those of URLs."""
        self._kept = kept
        self._registry = registry
        self._known: dict[str, Any] = {}
        self._seen: dict[str, Any] = {}
        try:
            known = json.loads(kept.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}
        except (OSError, ValueError):
            pass  # they are formed again

    def digest(self, place: str | None) -> str | None:
        """Return the MD5 of a file or a folder, or the SHA-256 that is pinned for a URL.

        None where there is no file, no setting, or nothing is pinned.
        """
        if place is None:
            return None
        if is_url(place):
            return find_remote(place, self._registry).sha256
        path = Path(re.sub(r"\.py:\w+$", ".py", place))  # of an encoder, the function apart
        if path.is_file():
            return self._file(path)
        if not path.is_dir():
            return None
        hashes = {file.relative_to(path).as_posix(): self._file(file) for file in output_files(path)}
        return hash_list(hashes)

    def keep(self) -> None:
        """Write the digests down."""
        if (now := self._known | self._seen) != self._known:
            write_json(self._kept, now, compact=True)

    def _file(self, path: Path) -> str:
        state = path.stat()
        now = [state.st_size, state.st_mtime_ns, state.st_ino]
        name = str(path.resolve())
        known = self._known.get(name)
        if isinstance(known, list) and known[:-1] == now:
            return str(known[-1])
        md5 = hash_file(path)
        if time.time() - state.st_mtime > SETTLED:
            self._seen[name] = [*now, md5]
        return md5


def user_files(settings: Mapping[str, str | None], digests: Digests) -> dict[str, str | None]:
    """Return the digests of the files that settings name: setting -> digest."""
    return {name: digests.digest(place) for name, place in settings.items()}


def read_digests(dependencies: Sequence[str]) -> dict[str, str | None]:
    """Read the digests by the stage `inputs` in the files that a stage depends on: setting -> digest."""
    found: dict[str, str | None] = {}
    for dependency in dependencies:
        if dependency.startswith(f"{paths.INPUTS}/") and Path(dependency).is_file():
            found |= json.loads(Path(dependency).read_text(encoding="utf-8"))
    return found


def named_places(settings: Iterable[str]) -> dict[str, str | None]:
    """Return the values of settings in params.yaml: the paths and URLs of the user's files."""
    values = read_yaml(paths.PARAMS, "a params file")
    return {name: look_up(values, name) for name in settings}


def check_current(stage: str, before: Mapping[str, str | None], digests: Digests) -> None:
    """Check that the user's files are those whose digests the stage `inputs` wrote.

    Raises:
        InputError: they have changed already.
    """
    after = user_files(named_places(before), digests)
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        raise InputError(
            f"{stage}: expected the files of {', '.join(changed)} as DVC found them, "
            "received others; run it again"
        )

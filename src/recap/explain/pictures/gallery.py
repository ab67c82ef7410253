"""The pictures of the stage `visualize`: PNG files, and index.json, which describes them."""

from pathlib import Path
from typing import Any

from recap.core.artifacts import write_json, write_png
from recap.explain.pictures.drawing import Pixels


class Gallery:
    """Collects pictures in a folder: PNG files and, from ``finish``, index.json."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._entries: list[dict[str, Any]] = []

    def add(
        self, kind: str, name: str, pixels: Pixels, label: str, image: str | None = None, **details: object
    ) -> None:
        """Write a picture and note what it shows.

        Args:
            kind: which section of the page it belongs to, such as "saliency".
            name: its file name without ".png".
            pixels: (H, W, 3) uint8.
            label: what it shows, a short sentence for people.
            image: the file name of the test image that it is about, if any.
            details: numbers and names behind it, JSON values.
        """
        write_png(self._directory / f"{name}.png", pixels)
        entry = {"kind": kind, "file": f"{name}.png", "label": label, "image": image, **details}
        self._entries.append(entry)

    def say(self, kind: str, label: str) -> None:
        """Note a sentence without a picture."""
        self._entries.append({"kind": kind, "file": None, "label": label, "image": None})

    def finish(self) -> int:
        """Write index.json; return how many pictures there are."""
        write_json(self._directory / "index.json", self._entries)
        return sum(entry["file"] is not None for entry in self._entries)

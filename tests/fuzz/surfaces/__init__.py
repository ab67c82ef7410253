"""The surfaces of the fuzzing suite, a file each."""

import importlib
from dataclasses import dataclass

from tests.fuzz.surface import Surface


@dataclass(frozen=True)
class Entry:
    """Where a surface is, how many cases a whole run draws, and what each may take."""

    place: str
    cases: int
    seconds: int = 10
    memory: int = 1 << 30  # bytes above what its process has when it is ready


SURFACES = {
    "params": Entry("params:Params", 6000),
    "captions": Entry("captions:Captions", 2500),
    "results": Entry("captions:Results", 2000),
    "imports": Entry("imports:Imports", 2000),
    "archives": Entry("archives:Archives", 2000),
    "hdf5": Entry("hdf5:FeatureFiles", 2000),
    "images": Entry("images:Images", 2500, memory=2 << 30),
    "weights": Entry("weights:Weights", 1500),
    "downloads": Entry("downloads:Downloads", 1500),
    "requests": Entry("requests:Requests", 1500),
    "lock": Entry("lock:Lock", 1000),
    "arguments": Entry("arguments:Arguments", 1000, 30),
}


def load_surface(name: str) -> Surface:
    """Make a surface in the current folder."""
    module, _, kind = SURFACES[name].place.partition(":")
    surface: Surface = getattr(importlib.import_module(f"tests.fuzz.surfaces.{module}"), kind)()
    return surface

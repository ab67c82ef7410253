"""Settings of how numbers are computed, and by how many processes."""

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Threads


@dataclass(config=STRICT, frozen=True)
class RuntimeConfig:
    """Arithmetic, threads and device; each of them changes floating-point sums."""

    arithmetic: Literal["portable", "native"]
    threads: Threads
    device: Literal["cpu", "cuda"]


@dataclass(config=STRICT, frozen=True)
class DistributedConfig:
    """Group `distributed` of params.yaml."""

    processes: Annotated[int, Ge(1), Le(1024)]

"""Settings of the processes that share the stages `train` and `extract`."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.config import STRICT


@dataclass(config=STRICT, frozen=True)
class DistributedConfig:
    """Group `distributed` of params.yaml."""

    processes: Annotated[int, Ge(1), Le(1024)]

"""Settings of the stage `reduce`."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT


@dataclass(config=STRICT, frozen=True)
class ReduceConfig:
    """Group `reduce` of params.yaml."""

    enabled: bool
    components: Annotated[int, Ge(1), Le(65_536)]
    whiten: bool
    concepts: Annotated[int, Ge(0), Le(65_536)]
    concepts_penalty: Annotated[float, Ge(1e-4), Le(1e6)]
    grid_components: Annotated[int, Ge(1), Le(65_536)]

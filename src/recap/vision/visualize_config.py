"""Settings of the stage `visualize`."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.config import STRICT


@dataclass(config=STRICT, frozen=True)
class VisualizeConfig:
    """Group `visualize` of params.yaml."""

    images: Annotated[int, Ge(1), Le(1000)]

"""Settings of the stage `visualize`."""

from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Seed


@dataclass(config=STRICT, frozen=True)
class VisualizeConfig:
    """Group `visualize` of params.yaml."""

    images: Annotated[int, Ge(1), Le(1000)]
    heads: Annotated[tuple[str, ...], Len(min_length=1)]
    iterations: Annotated[int, Ge(1), Le(100_000)]
    fooled_images: Annotated[int, Ge(1), Le(100_000)]
    worded_images: Annotated[int, Ge(1), Le(100_000)]
    seed: Seed

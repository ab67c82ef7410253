"""Settings of the stage `sanity`."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT


@dataclass(config=STRICT, frozen=True)
class SanityConfig:
    """Group `sanity` of params.yaml."""

    captions: Annotated[int, Ge(2), Le(1000)]
    seed: Annotated[int, Ge(0), Le(4_294_967_295)]

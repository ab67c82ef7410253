"""Settings of the stage `backbone`, where a CNN is trained here."""

from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from recap.config import STRICT, Count, Seed


@dataclass(config=STRICT, frozen=True)
class BackboneConfig:
    """Group `backbone` of params.yaml."""

    feature_dim: Annotated[int, Ge(8), Le(4096)]
    crop_steps: Annotated[int, Ge(0), Le(2**31 - 1)]
    steps: Count
    batch_size: Annotated[int, Ge(2), Le(4096)]
    learning_rate: Annotated[float, Gt(0), Le(1)]
    weight_decay: Annotated[float, Ge(0), Le(1000)]
    seed: Seed

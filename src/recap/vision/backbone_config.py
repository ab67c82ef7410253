"""Settings of the stage `backbone`, where a CNN is trained here."""

from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from recap.config import STRICT


@dataclass(config=STRICT, frozen=True)
class BackboneConfig:
    """Group `backbone` of params.yaml."""

    feature_dim: Annotated[int, Ge(8), Le(4096)]
    crop_steps: Annotated[int, Ge(0)]
    steps: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(2)]
    learning_rate: Annotated[float, Gt(0), Le(1)]
    weight_decay: Annotated[float, Ge(0)]
    seed: Annotated[int, Ge(0)]

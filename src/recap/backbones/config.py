"""Settings of the backbone: which one sees the images, and how one is trained here."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Count, Seed


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


@dataclass(config=STRICT, frozen=True)
class FeaturesConfig:
    """Group `features` of params.yaml."""

    backbone: Literal["small_vgg", "squeezenet1_1"]
    weights: str | None
    weights_sha256: str | None
    class_names: str | None
    batch_size: Annotated[int, Ge(1), Le(4096)]

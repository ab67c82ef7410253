"""Settings of features: which backbone sees the images; stages `backbone` and `extract`."""

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.config import STRICT


@dataclass(config=STRICT, frozen=True)
class FeaturesConfig:
    """Group `features` of params.yaml."""

    backbone: Literal["small_vgg", "squeezenet1_1"]
    weights: str | None
    weights_sha256: str | None
    class_names: str | None
    batch_size: Annotated[int, Ge(1), Le(4096)]

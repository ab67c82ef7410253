"""Settings of the backbone: which one sees the images, and how one is trained here."""

import re
from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import field_validator
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Count, Seed, Threads

BACKBONES = ("small_vgg", "squeezenet1_1", "vgg16", "resnet50", "resnet101", "given")
ENCODER = re.compile(r"(encoders/[\w./-]+\.py):([A-Za-z_]\w*)")
"""An encoder of the user's, a file and a function in it; DVC sees the files of that folder by content."""


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

    backbone: str
    given: str | None
    weights: str | None
    weights_sha256: str | None
    class_names: str | None
    batch_size: Annotated[int, Ge(1), Le(4096)]
    threads: Threads
    grid: bool

    @field_validator("backbone")
    @classmethod
    def _is_known(cls, backbone: str) -> str:
        if backbone not in BACKBONES and (not ENCODER.fullmatch(backbone) or ".." in backbone):
            raise ValueError(f"one of {', '.join(BACKBONES)} or encoders/FILE.py:FUNCTION")
        return backbone

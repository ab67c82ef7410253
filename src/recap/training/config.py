"""Settings of the stage `train` that all decoders share."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Count, Seed
from recap.decoders.config import Probability


@dataclass(config=STRICT, frozen=True)
class LanguageConfig:
    """Training on captions of images that are not there, before the epochs on those that are."""

    epochs: Count
    batch_size: Annotated[int, Ge(1), Le(65_536)]
    learning_rate: Annotated[float, Gt(0), Le(1)]


@dataclass(config=STRICT, frozen=True)
class SelfCriticalConfig:
    """Self-critical sequence training, after the epochs of cross-entropy."""

    epochs: Annotated[int, Ge(0), Le(2**31 - 1)]
    learning_rate: Annotated[float, Gt(0), Le(1)]
    images: Annotated[int, Ge(1), Le(65_536)]
    language_images: Annotated[int, Ge(0), Le(65_536)]
    samples: Annotated[int, Ge(2), Le(10_000)]
    claim: Annotated[float, Ge(0), Le(1000)]


@dataclass(config=STRICT, frozen=True)
class TrainConfig:
    """Group `train` of params.yaml."""

    batch_size: Annotated[int, Ge(1), Le(65_536)]
    weight_decay: Annotated[float, Ge(0), Le(1000)]
    gradient_clip: Annotated[float, Gt(0), Le(1e9)]
    warmup_steps: Annotated[int, Ge(0), Le(2**31 - 1)]
    schedule: Literal["cosine", "constant"]
    patience: Count
    keep: Literal["best", "last"]
    label_smoothing: Probability
    average_decay: Probability
    seed: Seed
    precision: Literal["float32", "tf32", "bfloat16"]
    scored_images: Annotated[int, Ge(0), Le(2**31 - 1)]
    language: LanguageConfig
    self_critical: SelfCriticalConfig

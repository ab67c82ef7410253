"""Settings of the stage `evaluate`."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Seed
from recap.decoding.config import DecodingConfig
from recap.metrics.config import TokenizerName


@dataclass(config=STRICT, frozen=True)
class EvaluateConfig:
    """Group `evaluate` of params.yaml."""

    batch_size: Annotated[int, Ge(1), Le(65_536)]
    tokenizer: TokenizerName
    bootstrap_resamples: Annotated[int, Ge(100), Le(1_000_000)]
    seed: Seed
    decoding: DecodingConfig

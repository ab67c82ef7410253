"""Settings of the stage `train`: the decoders and the recipe that fits them."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Count, Seed

Probability = Annotated[float, Ge(0), Lt(1)]
Size = Annotated[int, Ge(1), Le(8192)]
DecoderName = Literal["rnn", "lstm", "transformer"]


@dataclass(config=STRICT, frozen=True)
class RecurrentConfig:
    """An RNN or an LSTM: the image feature is projected to the first hidden state."""

    wordvec_dim: Size
    hidden_dim: Size
    dropout: Probability
    learning_rate: Annotated[float, Gt(0), Le(1)]
    epochs: Count


@dataclass(config=STRICT, frozen=True)
class TransformerConfig:
    """A Transformer decoder: the image feature is projected to ``memory_tokens`` tokens."""

    wordvec_dim: Size
    heads: Annotated[int, Ge(1), Le(8192)]
    layers: Annotated[int, Ge(1), Le(256)]
    feedforward_dim: Size
    memory_tokens: Annotated[int, Ge(1), Le(4096)]
    dropout: Probability
    learning_rate: Annotated[float, Gt(0), Le(1)]
    epochs: Count

    @field_validator("heads")
    @classmethod
    def _heads_share_the_width(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("wordvec_dim")
        if width is not None and width % heads:
            raise ValueError(f"a divisor of wordvec_dim, {width}")
        return heads


@dataclass(config=STRICT, frozen=True)
class SelfCriticalConfig:
    """Self-critical sequence training, after the epochs of cross-entropy."""

    epochs: Annotated[int, Ge(0), Le(2**31 - 1)]
    learning_rate: Annotated[float, Gt(0), Le(1)]
    images: Annotated[int, Ge(1), Le(65_536)]
    samples: Annotated[int, Ge(2), Le(10_000)]


@dataclass(config=STRICT, frozen=True)
class TrainConfig:
    """Group `train` of params.yaml."""

    decoders: Annotated[tuple[DecoderName, ...], Len(min_length=1)]
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
    self_critical: SelfCriticalConfig
    rnn: RecurrentConfig
    lstm: RecurrentConfig
    transformer: TransformerConfig

    @field_validator("decoders")
    @classmethod
    def _each_once(cls, decoders: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(decoders)) < len(decoders):
            raise ValueError("each decoder once")
        return decoders

"""Settings of the decoders: which are trained, their sizes, and how fast and how long each learns."""

from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Count
from recap.errors import InputError

Probability = Annotated[float, Ge(0), Lt(1)]
Size = Annotated[int, Ge(1), Le(8192)]
DecoderName = Literal["rnn", "lstm", "transformer", "attention_lstm"]


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
class AttentionConfig(RecurrentConfig):
    """An LSTM that looks at the places of a grid."""

    attention_dim: Size
    doubly_stochastic: Annotated[float, Ge(0), Le(1000)]


DecoderConfig = RecurrentConfig | TransformerConfig | AttentionConfig


@dataclass(config=STRICT, frozen=True)
class DecodersConfig:
    """Group `decoders` of params.yaml."""

    names: Annotated[tuple[DecoderName, ...], Len(min_length=1)]
    rnn: RecurrentConfig
    lstm: RecurrentConfig
    transformer: TransformerConfig
    attention_lstm: AttentionConfig

    @field_validator("names")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each decoder once")
        return names

    def of(self, name: str) -> DecoderConfig:
        """Return the settings of one decoder.

        Raises:
            InputError: there is no such decoder.
        """
        if name not in get_args(DecoderName):
            raise InputError(
                f"decoder: expected one of {', '.join(get_args(DecoderName))}, received {name!r}"
            )
        return getattr(self, name)

"""Settings of a sweep, a file of their own."""

from typing import Annotated

from annotated_types import Ge, Le, MinLen
from pydantic import Field
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Seed


@dataclass(config=STRICT, frozen=True)
class Choices:
    """A setting that takes one of several values."""

    choices: Annotated[tuple[str | int | float | bool | None, ...], MinLen(1)]


@dataclass(config=STRICT, frozen=True)
class Range:
    """A setting between two numbers, both included; whole numbers when both are whole."""

    low: int | float
    high: int | float
    log: bool = False


@dataclass(config=STRICT, frozen=True)
class SweepConfig:
    """What Optuna varies, and how often.

    Attributes:
        name: of the sweep; its experiments' names begin with it.
        decoder: which is trained; its validation loss is what trials are compared by.
        trials: that finish or are pruned.
        prune_after: epochs after which a trial ends whose lowest validation loss so far is above the median
            of those that finished, at least five; None: every trial trains to its end.
        seed: of the sampler.
        space: a setting of params.yaml, such as "decoders.lstm.hidden_dim" -> its values.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=50)]
    decoder: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    trials: Annotated[int, Ge(1), Le(100_000)]
    prune_after: Annotated[int, Ge(1)] | None
    seed: Seed
    space: Annotated[dict[str, Choices | Range], MinLen(1)]

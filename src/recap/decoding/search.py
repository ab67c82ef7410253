"""What every search has in common: the decoder it asks, the words it returns, the words it may choose.

Shapes: N batch, D feature, V vocabulary, R rows that are not finished, T words so far.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from recap.decoders.decoder import State
from recap.decoding.caption import Constraints
from recap.text.vocabulary import END

NEVER = float("-inf")


class StepDecoder(Protocol):
    """Scores the next word: a decoder, or an ensemble of them."""

    def start(self, features: Tensor) -> State:
        """The state before the first word, for features (N, D)."""

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one word a row, tokens (N,) int64: scores (N, V) of the next one, and the state after it."""


@runtime_checkable
class Speakers(Protocol):
    """A step decoder of several, such as an ensemble, who can also speak one by one."""

    def apart(self, features: Tensor) -> Sequence[tuple[StepDecoder, Tensor]]:
        """Each with what it reads of the features (N, D)."""


def members_of(decoder: StepDecoder, features: Tensor) -> Sequence[tuple[StepDecoder, Tensor]]:
    """Those who speak one by one, each with its features: of a single decoder itself with features (N, D)."""
    return decoder.apart(features) if isinstance(decoder, Speakers) else [(decoder, features)]


class Words(NamedTuple):
    """The tokens of a caption, each with the decoder's log-probability; the last one may be <END>."""

    tokens: list[int]
    log_probabilities: list[float]


Search = Callable[[StepDecoder, Tensor, Constraints, Sequence[int]], list[list[Words]]]
"""Decoder, features (N, D), constraints and the ids of the images to the captions of each, best first."""


def select(state: State, rows: Tensor) -> State:
    """The state of some rows (R,) int64; a row may come twice."""
    return tuple(part.index_select(0, rows) for part in state)


def forbid(log_probabilities: Tensor, said: Tensor, constraints: Constraints) -> None:
    """Set the log-probabilities of the words that may not come next to -inf.

    Args:
        log_probabilities: (R, V), changed in place; the entry of <END> stays where all others are -inf.
        said: (R, T) int64, the words so far.
        constraints: what a caption may be.
    """
    words = said.shape[1]
    may_be_stuck = constraints.min_length or constraints.banned_last or END in constraints.banned
    end = log_probabilities[:, END].clone() if may_be_stuck else None
    banned = constraints.banned
    if words + 1 == constraints.max_length:
        banned += constraints.banned_last
    if banned:
        log_probabilities.index_fill_(1, said.new_tensor(banned), NEVER)
    if words < constraints.min_length:
        log_probabilities[:, END] = NEVER
    elif words and constraints.banned_last:
        bad = torch.isin(said[:, -1], said.new_tensor(constraints.banned_last))  # (R,)
        log_probabilities[bad, END] = NEVER
    if words > 2 and not constraints.repeat_trigrams:
        again = (said[:, :-2] == said[:, -2:-1]) & (said[:, 1:-1] == said[:, -1:])  # (R, T - 2)
        penalty = torch.where(again, NEVER, 0.0).to(log_probabilities.dtype)
        log_probabilities.scatter_add_(1, said[:, 2:], penalty)
    if end is not None:
        stuck = log_probabilities.amax(1) == NEVER  # (R,)
        log_probabilities[:, END] = torch.where(stuck, end, log_probabilities[:, END])

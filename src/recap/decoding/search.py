"""The common parts of all searches: the decoder, the words returned, the words allowed.

Shapes: N batch, D feature, V vocabulary, R rows that are not finished, T words so far.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from recap.decoders.decoder import State
from recap.decoding.caption import Constraints
from recap.text.vocabulary import END

NEVER = float("-inf")


class StepDecoder(Protocol):
    """Scores the next word: a decoder, or an ensemble of them."""

    def start(self, features: Tensor) -> State:
        """Return the state before the first word, for features (N, D)."""

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one word a row, tokens (N,) int64: scores (N, V) of the next one, and the state after it."""

    def members_with_features(self, features: Tensor) -> Sequence[tuple["StepDecoder", Tensor]]:
        """Return each member of an ensemble, else the decoder, with its own part of the features (N, D)."""


class Words(NamedTuple):
    """The tokens of a caption and their log-probabilities; the last token may be <END>."""

    tokens: list[int]
    log_probabilities: list[float]


Search = Callable[[StepDecoder, Tensor, Constraints, Sequence[int]], list[list[Words]]]
"""Decoder in eval mode, features (N, D), constraints, and N ids of images -> captions of each, best first.

Random draws depend on the ids; other searches ignore them.
"""


def select(state: State, rows: Tensor) -> State:
    """Select rows (R,) int64 of a state; a row may come twice."""
    return tuple(part.index_select(0, rows) for part in state)


def forbid(log_probabilities: Tensor, prefix: Tensor, constraints: Constraints) -> None:
    """Set the log-probabilities (R, V) of words that may not follow a prefix (R, T) to -inf, in place.

    The entry of <END> stays where all others are -inf.
    """
    words = prefix.shape[1]
    may_be_stuck = constraints.min_length or constraints.banned_last or END in constraints.banned
    end = log_probabilities[:, END].clone() if may_be_stuck else None
    banned = constraints.banned
    if words + 1 == constraints.max_length:
        banned += constraints.banned_last
    if banned:
        log_probabilities.index_fill_(1, prefix.new_tensor(banned), NEVER)
    if words < constraints.min_length:
        log_probabilities[:, END] = NEVER
    elif words and constraints.banned_last:
        bad = torch.isin(prefix[:, -1], prefix.new_tensor(constraints.banned_last))  # (R,)
        log_probabilities[bad, END] = NEVER
    if words > 2 and not constraints.repeat_trigrams:
        again = (prefix[:, :-2] == prefix[:, -2:-1]) & (prefix[:, 1:-1] == prefix[:, -1:])  # (R, T - 2)
        penalty = torch.where(again, NEVER, 0.0).to(log_probabilities.dtype)
        log_probabilities.scatter_add_(1, prefix[:, 2:], penalty)
    if end is not None:
        stuck = log_probabilities.amax(1) == NEVER  # (R,)
        log_probabilities[:, END] = torch.where(stuck, end, log_probabilities[:, END])

"""Ensembles of decoders.

Shapes: N batch, T time, D feature, V vocabulary, E members, C columns of a member's own features.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recap.decoders.decoder import Decoder, State
from recap.errors import InputError


class Ensemble(nn.Module):
    """The mean of its members' probabilities; every search takes it in place of a decoder.

    Args:
        members: decoders of one vocabulary, of any kinds.
        columns: E, how many columns of the features each reads, one after another; without it each reads all.

    Raises:
        InputError: no members, vocabularies of different sizes, or columns of more or fewer members.
    """

    def __init__(self, members: Sequence[Decoder], columns: Sequence[int] | None = None) -> None:
        super().__init__()
        sizes = [member.scores.out_features for member in members]
        if len(set(sizes)) != 1:
            raise InputError(f"ensemble: expected decoders of one vocabulary, received sizes {sizes}")
        if columns is not None and len(columns) != len(members):
            raise InputError(
                f"ensemble: expected columns of {len(members)} members, received {len(columns)} numbers"
            )
        self.members = nn.ModuleList(members)
        self._columns = None if columns is None else list(columns)
        self._widths: list[int] = []

    @property
    def decoders(self) -> list[Decoder]:
        """The members."""
        return [member for member in self.members if isinstance(member, Decoder)]

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Return the log of the mean probability (N, T, V) after each word of captions (N, T)."""
        logs = [member(own, captions).log_softmax(2) for member, own in self.members_with_features(features)]
        return torch.stack(logs).logsumexp(0) - math.log(len(logs))

    def members_with_features(self, features: Tensor) -> list[tuple[Decoder, Tensor]]:
        """Return the members, each with its features (N, C), from features (N, D).

        Raises:
            InputError: the members' columns are not those of the features.
        """
        members = self.decoders
        if self._columns is None:
            return [(member, features) for member in members]
        if sum(self._columns) != features.shape[1]:
            raise InputError(
                f"ensemble: expected features of {sum(self._columns)} columns, the members' together, "
                f"received {features.shape[1]}"
            )
        return list(zip(members, features.split(self._columns, dim=1), strict=True))

    def start(self, features: Tensor) -> State:
        """Return the members' states before the first word, one after the other, for features (N, D)."""
        states = [member.start(own) for member, own in self.members_with_features(features)]
        self._widths = [len(state) for state in states]
        return tuple(part for state in states for part in state)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the log of the mean probability (N, V) of the next word, and the states after it."""
        logs: list[Tensor] = []
        after: list[Tensor] = []
        first = 0
        for member, width in zip(self.decoders, self._widths, strict=True):
            scores, own = member.step(tokens, state[first : first + width])
            logs.append(scores.log_softmax(1))
            after += own
            first += width
        mean = torch.stack(logs).logsumexp(0) - math.log(len(logs))  # (E, N, V) -> (N, V)
        return mean, tuple(after)

"""The base class of decoders: hidden states from a feature and words, scores from hidden states.

Shapes: N batch, T time, D feature, H hidden, V vocabulary, L steps of an encoded caption, M targets that are
not <NULL>, P places and M channels of maps.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recap.core.feature_files import NO_GRID
from recap.runtime.linear import Linear
from recap.text.vocabulary import NULL

State = tuple[Tensor, ...]
"""What a decoder remembers of the words so far; the first axis of every tensor is the batch."""


def target_positions(captions: Tensor) -> Tensor:
    """Return where the targets (N, L - 1) of captions (N, L), flattened, are not <NULL>: (M,) int64."""
    return (captions[:, 1:].flatten() != NULL).nonzero().squeeze(1)


class Decoder(nn.Module, ABC):
    """Scores the next word of a caption, given the image's feature and the words so far.

    What is given of an image is a row: its feature (D), and where there is a grid the P places of its maps
    behind, M channels each. Below "features (N, D)" are such rows.
    """

    def __init__(
        self, hidden_dim: int, vocabulary_size: int, feature_dim: int, grid: Sequence[int] = NO_GRID
    ) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.places, self.channels = grid
        self.scores = Linear(hidden_dim, vocabulary_size)

    @property
    def row_dim(self) -> int:
        """The width of an image's row, D + P M."""
        return self.feature_dim + self.places * self.channels

    def feature_of(self, rows: Tensor) -> Tensor:
        """(N, D + P M) -> (N, D)."""
        return rows[:, : self.feature_dim]

    def places_of(self, rows: Tensor) -> Tensor:
        """(N, D + P M) -> (N, P, M)."""
        return rows[:, self.feature_dim :].unflatten(1, (self.places, self.channels))

    @abstractmethod
    def hidden(self, features: Tensor, captions: Tensor) -> Tensor:
        """Return hidden states (N, T, H) after each word of captions (N, T) int64, for features (N, D)."""

    @abstractmethod
    def start(self, features: Tensor) -> State:
        """Return the state before the first word, for features (N, D)."""

    @abstractmethod
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one word (N,) int64 a caption, in a state from before, which stays as it is.

        Returns:
            Scores (N, V) of the next word, and the state after this one.
        """

    def members_with_features(self, features: Tensor) -> "list[tuple[Decoder, Tensor]]":
        """Return the decoder, which has no other members, with all of its features (N, D)."""
        return [(self, features)]

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Return scores (N, T, V) of the word after each word of captions (N, T), for features (N, D)."""
        return self.scores(self.hidden(features, captions))

    def loss(
        self,
        features: Tensor,
        captions: Tensor,
        *,
        smoothing: float = 0.0,
        weights: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Return the cross-entropy, mean over the targets that are not <NULL>; 0 when all are.

        The course sums over time and divides by N instead: times M / N, this is its number.

        Args:
            features: (N, D).
            captions: (N, L) int64; all words but the last are inputs, all but the first are targets.
            smoothing: probability that is spread evenly over all V words (Szegedy et al. 2016).
            weights: (N,) factors of the captions' cross-entropies; the divisor stays the number of targets.
            positions: (M,) int64, ``target_positions`` of the captions, for which the CPU waits for a GPU.
        """
        hidden = self.hidden(features, captions[:, :-1])  # (N, T, H), T = L - 1
        return self.cross_entropy(hidden, captions, smoothing=smoothing, weights=weights, positions=positions)

    def cross_entropy(
        self,
        hidden: Tensor,
        captions: Tensor,
        *,
        smoothing: float,
        weights: Tensor | None,
        positions: Tensor | None,
    ) -> Tensor:
        """Return ``loss`` from hidden states (N, T, H), T = L - 1."""
        count, steps = hidden.shape[:2]
        by_time = hidden.stride(0) < hidden.stride(1)  # a recurrence's: in its own order nothing is copied

        def flat(x: Tensor) -> Tensor:
            """Reshape (N, T, ...) to (N T, ...), in the order in which the hidden states lie."""
            return (x.transpose(0, 1) if by_time else x).flatten(0, 1)

        positions = target_positions(captions) if positions is None else positions
        hidden, targets = flat(hidden), flat(captions[:, 1:])
        rows: Tensor | slice = slice(None)
        if len(positions) < len(targets):
            rows = positions % steps * count + positions // steps if by_time else positions
            # a lookup, because its backward is faster than that of indexing, and deterministic
            hidden = functional.embedding(rows, hidden)  # (M, H)
        targets = targets[rows]  # (M,)
        scores = self.scores(hidden)  # (M, V)
        if weights is None:
            total = functional.cross_entropy(scores, targets, reduction="sum", label_smoothing=smoothing)
        else:
            losses = functional.cross_entropy(scores, targets, reduction="none", label_smoothing=smoothing)
            total = losses @ flat(weights[:, None].expand(count, steps))[rows]  # (M,) @ (M,)
        return total / max(len(positions), 1)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every weight: Glorot's uniform, orthogonal recurrence, small word vectors, zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=module.embedding_dim**-0.5, generator=generator)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, nn.RNNBase):
                _initialise_recurrence(module, generator)


def _initialise_recurrence(module: nn.RNNBase, generator: torch.Generator) -> None:
    hidden_dim = module.hidden_size
    for name, parameter in module.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        for gate in parameter.data.split(hidden_dim):
            if "weight_ih" in name:
                nn.init.xavier_uniform_(gate, generator=generator)
            elif "weight_hh" in name:
                nn.init.orthogonal_(gate, generator=generator)
    if isinstance(module, nn.LSTM):
        # an open forget gate at the start (Jozefowicz et al. 2015); the order is input, forget, block, output
        bias = module.get_parameter("bias_ih_l0")
        nn.init.ones_(bias.data[hidden_dim : 2 * hidden_dim])

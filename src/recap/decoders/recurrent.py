"""The vanilla RNN and the LSTM of CS231n's image captioning, on fused kernels.

Shapes: N batch, T time, D feature, W word vector, H hidden, V vocabulary.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from recap.core.feature_files import NO_GRID
from recap.decoders.decoder import Decoder, State
from recap.decoders.dropout import Dropout
from recap.decoders.recurrence import recur, recur_gated
from recap.runtime.kernels import is_installed
from recap.runtime.linear import Linear, linear, takes

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM}


class RecurrentDecoder(Decoder):
    """The image's feature, projected, is the first hidden state; each word updates it.

    h_0 = feature W_proj + b_proj; h_t = tanh(W_x x_t + W_h h_{t-1} + b), or an LSTM's step from c_0 = 0
    (Hochreiter and Schmidhuber 1997); scores_t = W_vocab h_t + b_vocab.

    Args:
        cell: "rnn" or "lstm".
        feature_dim, vocabulary_size, wordvec_dim, hidden_dim: D, V, W, H.
        dropout: probability to drop an entry of features, word vectors, and hidden states before the scores.
        grid: of the rows; its places are not looked at.
    """

    def __init__(
        self,
        cell: Literal["rnn", "lstm"],
        feature_dim: int,
        vocabulary_size: int,
        wordvec_dim: int,
        hidden_dim: int,
        dropout: float,
        grid: Sequence[int] = NO_GRID,
    ) -> None:
        super().__init__(hidden_dim, vocabulary_size, feature_dim, grid)
        self.projection = Linear(feature_dim, hidden_dim)
        # not drawn here, which on the device meta would import torch's compiler
        self.words = nn.Embedding.from_pretrained(torch.empty(vocabulary_size, wordvec_dim), freeze=False)
        self.recurrence = CELLS[cell](wordvec_dim, hidden_dim)
        self.dropout = Dropout(dropout)

    def hidden(self, features: Tensor, captions: Tensor) -> Tensor:
        words = self.dropout(self.words(captions.t()))  # (T, N, W)
        first = self._first(features)
        if takes(words) and isinstance(self.recurrence, nn.RNN):
            hidden = recur(words, first, *self._weights())
        elif takes(words) and is_installed():  # else torch's own LSTM, which is faster and not portable
            hidden = recur_gated(words, first, *self._weights())
        else:
            hidden = self._by_torch(words, first)
        return self.dropout(hidden).transpose(0, 1)

    def start(self, features: Tensor) -> State:
        first = self._first(features)
        return (first, torch.zeros_like(first)) if isinstance(self.recurrence, nn.LSTM) else (first,)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        from_word, from_state, bias = self._weights()
        inner = linear(self.words(tokens), from_word, bias) + linear(state[0], from_state)
        if isinstance(self.recurrence, nn.RNN):
            hidden = inner.tanh()  # (N, H)
            return self.scores(hidden), (hidden,)
        input_gate, forget_gate, candidate, output_gate = inner.chunk(4, dim=1)  # (N, H) each
        cell = forget_gate.sigmoid() * state[1] + input_gate.sigmoid() * candidate.tanh()
        hidden = output_gate.sigmoid() * cell.tanh()
        return self.scores(hidden), (hidden, cell)

    def _first(self, features: Tensor) -> Tensor:
        """Return the hidden states (N, H) before the first words."""
        return self.projection(self.dropout(self.feature_of(features)))

    def _weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return W_x, W_h and b, which torch keeps as the sum of two."""
        weight = self.recurrence.get_parameter
        bias = weight("bias_ih_l0") + weight("bias_hh_l0")
        return weight("weight_ih_l0"), weight("weight_hh_l0"), bias

    def _by_torch(self, words: Tensor, first: Tensor) -> Tensor:
        """Turn word vectors (T, N, W) and a first state (N, H) into hidden states (T, N, H)."""
        layered = first[None]  # (1, N, H): torch has an axis for stacked layers
        state = (layered, torch.zeros_like(layered)) if isinstance(self.recurrence, nn.LSTM) else layered
        return self.recurrence(words, state)[0]

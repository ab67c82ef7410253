"""The vanilla RNN and the LSTM of CS231n's image captioning, on fused kernels.

Shapes: N batch, T time, D feature, W word vector, H hidden, V vocabulary.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from recap.decoders.decoder import Decoder, State
from recap.decoders.dropout import Dropout
from recap.decoders.linear import Linear, recur, takes


class RecurrentDecoder(Decoder):
    """The image's feature, projected, is the first hidden state; each word updates it.

    h_0 = feature W_proj + b_proj; h_t = tanh(W_x x_t + W_h h_{t-1} + b), or an LSTM's step from c_0 = 0
    (Hochreiter and Schmidhuber 1997); scores_t = W_vocab h_t + b_vocab.

    Args:
        cell: "rnn" or "lstm".
        feature_dim: D.
        vocabulary_size: V.
        wordvec_dim: W.
        hidden_dim: H.
        dropout: share dropped from features, word vectors, and hidden states before the scores.
        tied: whether word vectors are the weights of the scores too; then W is H.
    """

    def __init__(
        self,
        cell: Literal["rnn", "lstm"],
        feature_dim: int,
        vocabulary_size: int,
        wordvec_dim: int,
        hidden_dim: int,
        dropout: float,
        tied: bool = False,
    ) -> None:
        super().__init__(hidden_dim, vocabulary_size)
        self.projection = Linear(feature_dim, hidden_dim)
        self.words = nn.Embedding(vocabulary_size, wordvec_dim)
        if tied:
            self.tie(self.words, hidden_dim)
        self.recurrence = (nn.RNN if cell == "rnn" else nn.LSTM)(wordvec_dim, hidden_dim)
        self.dropout = Dropout(dropout)

    def hidden(self, features: Tensor, captions: Tensor) -> Tensor:
        words = self.dropout(self.words(captions.t()))  # (T, N, W)
        state = self.start(features)
        if isinstance(self.recurrence, nn.RNN) and takes(words):
            weight = self.recurrence.get_parameter
            bias = weight("bias_ih_l0") + weight("bias_hh_l0")  # (H,)
            hidden = recur(words, state[0], weight("weight_ih_l0"), weight("weight_hh_l0"), bias)
        else:
            hidden, _ = self._recur(words, state)
        return self.dropout(hidden).transpose(0, 1)

    def start(self, features: Tensor) -> State:
        first = self.projection(self.dropout(features))  # (N, H)
        return (first, torch.zeros_like(first)) if isinstance(self.recurrence, nn.LSTM) else (first,)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, state = self._recur(self.words(tokens[None]), state)  # (1, N, H)
        return self.scores(hidden[0]), state

    def _recur(self, words: Tensor, state: State) -> tuple[Tensor, State]:
        """Word vectors (T, N, W) and a state of (N, H) to hidden states (T, N, H) and the last state."""
        layered = tuple(part[None] for part in state)  # (1, N, H): torch has an axis for stacked layers
        hidden, last = self.recurrence(words, layered if len(layered) == 2 else layered[0])
        parts = last if isinstance(last, tuple) else (last,)
        return hidden, tuple(part[0] for part in parts)

"""An LSTM that looks: soft attention over the places of an image's maps (Xu et al. 2015, arXiv:1502.03044).

Shapes: N batch, T time, D feature, P places, M channels of the maps, W word vector, H hidden, A attention,
V vocabulary, L steps of an encoded caption.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recap.core.feature_files import NO_GRID
from recap.decoders.attentive_recurrence import recur_attentively
from recap.decoders.decoder import Decoder, State
from recap.decoders.dropout import Dropout
from recap.errors import InputError
from recap.runtime.linear import Linear, linear
from recap.text.vocabulary import NULL


class AttentionDecoder(Decoder):
    """An LSTM that reads, beside each word, the places at which its state before that word makes it look.

    e_i = w tanh(W_a a_i + W_h h_{t-1} + b) for the places a_i (equation 4), alpha = softmax(e) (5),
    z_t = sigmoid(w_g h_{t-1} + b_g) sum_i alpha_i a_i (6 and 13); the LSTM reads the word and z_t; the scores
    are W_vocab (h_t, z_t) + b_vocab. h_0 is the image's feature, projected, and c_0 = 0.

    Args:
        feature_dim, vocabulary_size, wordvec_dim, hidden_dim, attention_dim: D, V, W, H, A.
        doubly_stochastic: lambda of equation 14, by which the loss in training rises for places that were
            not looked at once in all.
        dropout: probability to drop an entry of features, places, word vectors, and what is scored.
        grid: P and M.

    Raises:
        InputError: there are no places.
    """

    def __init__(
        self,
        feature_dim: int,
        vocabulary_size: int,
        wordvec_dim: int,
        hidden_dim: int,
        attention_dim: int,
        doubly_stochastic: float,
        dropout: float,
        grid: Sequence[int] = NO_GRID,
    ) -> None:
        super().__init__(hidden_dim + grid[1], vocabulary_size, feature_dim, grid)
        if not self.places:
            raise InputError("features.grid: expected true for attention_lstm, received false")
        self.doubly_stochastic = doubly_stochastic
        self.projection = Linear(feature_dim, hidden_dim)
        # not drawn here, which on the device meta would import torch's compiler
        self.words = nn.Embedding.from_pretrained(torch.empty(vocabulary_size, wordvec_dim), freeze=False)
        self.key = Linear(self.channels, attention_dim)
        self.query = Linear(hidden_dim, attention_dim)
        self.energy = Linear(attention_dim, 1)
        self.gate = Linear(hidden_dim, 1)
        self.context = Linear(self.channels, 4 * hidden_dim)
        self.recurrence = nn.LSTM(wordvec_dim, hidden_dim)
        self.dropout = Dropout(dropout)

    def hidden(self, features: Tensor, captions: Tensor) -> Tensor:
        """Return (N, T, H + M): hidden states, and the context beside each."""
        return self._read(features, captions)[0]

    def attention_weights(self, features: Tensor, captions: Tensor) -> Tensor:
        """Return alpha for the word after each of captions (N, T): (N, T, P), sums of 1."""
        return self._read(features, captions)[1]

    def start(self, features: Tensor) -> State:
        """Return h_0, c_0, the places (N, P, M) and their keys, doubled, (N, P, A)."""
        first = self.projection(self.dropout(self.feature_of(features)))  # (N, H)
        places = self.dropout(self.places_of(features))
        return (
            first,
            torch.zeros_like(first),
            places,
            functional.linear(places, 2 * self.key.weight, 2 * self.key.bias),
        )

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, cell, places, keys = state
        query, gate = linear(hidden, *self._query_and_gate())[:, None].split((keys.shape[2], 1), dim=2)
        activated = (keys + query).sigmoid()  # (N, P, A)
        energy = 2 * self.energy.weight.expand(len(keys), 1, -1)  # (N, 1, A)
        attention = torch.bmm(energy, activated.mT).softmax(2)  # (N, 1, P)
        context = torch.bmm(gate.sigmoid() * attention, places)[:, 0]  # (N, M)
        gates = linear(torch.cat((self.words(tokens), context, hidden), dim=1), *self._gates())
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=1)  # (N, H) each
        cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * candidate.tanh()
        hidden = output_gate.sigmoid() * cell.tanh()
        return self.scores(torch.cat((hidden, context), dim=1)), (hidden, cell, places, keys)

    def loss(
        self,
        features: Tensor,
        captions: Tensor,
        *,
        smoothing: float = 0.0,
        weights: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of every decoder, in training with the doubly stochastic term (equation 14)."""
        hidden, attention = self._read(features, captions[:, :-1])
        loss = self.cross_entropy(hidden, captions, smoothing=smoothing, weights=weights, positions=positions)
        if not self.training or not self.doubly_stochastic or weights is not None:
            return loss
        mask = (captions[:, 1:] != NULL).to(attention.dtype)  # (N, T)
        missed = 1 - (attention * mask[:, :, None]).sum(1)  # (N, P)
        return loss + self.doubly_stochastic * (missed * missed).sum() / mask.sum().clamp_min(1)

    def _read(self, features: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is scored (N, T, H + M) and alpha (N, T, P); autocast halves neither."""
        with torch.autocast(features.device.type, enabled=False):
            words = self.dropout(self.words(captions.t()))  # (T, N, W)
            first, _, places, keys = self.start(features)
            energy = 2 * self.energy.weight, self.energy.bias
            query, gates = self._query_and_gate(), self._gates()
            outputs, attention = recur_attentively(words, first, places, keys, query, energy, gates)
        return self.dropout(outputs).transpose(0, 1), attention

    def _query_and_gate(self) -> tuple[Tensor, Tensor]:
        """Return the weight and bias of queries, doubled as keys are, and of the gate beside them."""
        query, gate = self.query, self.gate
        return torch.cat((2 * query.weight, gate.weight)), torch.cat((2 * query.bias, gate.bias))

    def _gates(self) -> tuple[Tensor, Tensor]:
        """Return the weight and bias of the gates of the LSTM, which reads (word, context, state)."""
        weight = self.recurrence.get_parameter
        weights = weight("weight_ih_l0"), self.context.weight, weight("weight_hh_l0")
        return torch.cat(weights, dim=1), weight("bias_ih_l0") + weight("bias_hh_l0") + self.context.bias

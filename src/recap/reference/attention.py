"""Soft attention in NumPy: an LSTM that looks at places of an image before each word.

Xu et al. 2015, "Show, attend and tell", arXiv:1502.03044. Forward only: what its gradients are, differences
of the loss tell. Shapes: N batch, T time, D feature, P places, M channels of a place, A attention, W word
vector, H hidden, V vocabulary, L steps of a caption.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.reference import layers

Array = NDArray[Any]


class AttentionLSTM:
    """An LSTM with soft attention.

    Args:
        params: W_embed (V, W), W_proj (D, H), b_proj (H,), W_key (M, A), b_key (A,), W_query (H, A), w_energy
            (A,), w_gate (H,), b_gate (), Wx (W + M, 4 H), Wh (H, 4 H), b (4 H,), W_vocab (H + M, V),
            b_vocab (V,); the gates are in the course's order.
        null, start: numbers of <NULL> and <START>.
    """

    def __init__(self, params: Mapping[str, Array], null: int, start: int) -> None:
        self.params = params
        self._null, self._start = null, start

    def look(self, places: Array, h: Array) -> tuple[Array, Array]:
        """Look at places (N, P, M) from hidden states (N, H): what is seen (N, M), and where (N, P)."""
        p = self.params
        keys = places @ p["W_key"] + p["b_key"]  # (N, P, A)
        energies = np.tanh(keys + (h @ p["W_query"])[:, None]) @ p["w_energy"]  # (N, P), equation 4
        powers = np.exp(energies - energies.max(axis=1, keepdims=True))
        weights = powers / powers.sum(axis=1, keepdims=True)  # equation 5
        gate = 1 / (1 + np.exp(-(h @ p["w_gate"] + p["b_gate"])))  # (N,), beta of equation 13
        return gate[:, None] * (weights[:, :, None] * places).sum(axis=1), weights

    def step(self, places: Array, words: Array, h: Array, c: Array) -> tuple[Array, Array, Array, Array]:
        """Read words (N,): scores (N, V) of the next ones, where it looked (N, P), and the new h and c."""
        p = self.params
        seen, weights = self.look(places, h)
        x = np.concatenate([p["W_embed"][words], seen], axis=1)  # (N, W + M)
        h, c, _ = layers.lstm_step_forward(x, h, c, p["Wx"], p["Wh"], p["b"])
        scores = np.concatenate([h, seen], axis=1) @ p["W_vocab"] + p["b_vocab"]
        return scores, weights, h, c

    def loss(self, features: Array, places: Array, captions: Array, doubly_stochastic: float = 0.0) -> float:
        """Return the loss of features (N, D), places (N, P, M) and captions (N, L) (equation 14).

        As in the other models it is summed over words but <NULL> and averaged over the batch.
        """
        p = self.params
        h = features @ p["W_proj"] + p["b_proj"]  # (N, H)
        c = np.zeros_like(h)
        predicted = captions[:, 1:]
        mask = predicted != self._null
        scores, looked = [], np.zeros(places.shape[:2])
        for t in range(captions.shape[1] - 1):
            own, weights, h, c = self.step(places, captions[:, t], h, c)
            scores.append(own)
            looked += weights * mask[:, t, None]
        loss, _ = layers.temporal_softmax_loss(np.stack(scores, axis=1), predicted, mask)
        return float(loss + doubly_stochastic * ((1 - looked) ** 2).sum() / len(captions))

    def sample(self, features: Array, places: Array, max_length: int = 30) -> Array:
        """Choose the likeliest next word again and again from <START> on: (N, max_length) int32."""
        p = self.params
        h = features @ p["W_proj"] + p["b_proj"]
        c = np.zeros_like(h)
        words = np.full(len(features), self._start)
        captions = np.empty((len(features), max_length), np.int32)
        for t in range(max_length):
            scores, _, h, c = self.step(places, words, h, c)
            words = captions[:, t] = scores.argmax(axis=1)
        return captions

"""The captioning RNN and LSTM on tensors: the same model as in ``recap.reference.rnn``, autograd's gradients.

Shapes: N batch, T time, D feature, W word vector, H hidden, V vocabulary, L steps of a caption.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recap.reference import torch_layers as layers
from recap.reference.rnn import CELL_TYPES, check_cell, check_start, check_vocabulary


class CaptioningRNN:
    """Words from image features (Karpathy and Fei-Fei 2015; Vinyals et al. 2015).

    Parameters, arguments and errors are those of ``recap.reference.rnn.CaptioningRNN``, but ``params``
    holds leaf tensors that require gradients, drawn from torch's default generator.
    """

    def __init__(
        self,
        word_to_idx: Mapping[str, int],
        input_dim: int = 512,
        wordvec_dim: int = 128,
        hidden_dim: int = 128,
        cell_type: str = "rnn",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_cell(cell_type)
        check_vocabulary(word_to_idx)
        self.cell_type = cell_type
        self.dtype = dtype
        self.word_to_idx = word_to_idx
        self.idx_to_word = {number: word for word, number in word_to_idx.items()}
        self._null = word_to_idx["<NULL>"]
        self._start = word_to_idx.get("<START>")
        V, gates = len(word_to_idx), CELL_TYPES[cell_type]
        params = {
            "W_embed": torch.randn(V, wordvec_dim) / 100,
            "W_proj": torch.randn(input_dim, hidden_dim) / input_dim**0.5,
            "b_proj": torch.zeros(hidden_dim),
            "Wx": torch.randn(wordvec_dim, gates * hidden_dim) / wordvec_dim**0.5,
            "Wh": torch.randn(hidden_dim, gates * hidden_dim) / hidden_dim**0.5,
            "b": torch.zeros(gates * hidden_dim),
            "W_vocab": torch.randn(hidden_dim, V) / hidden_dim**0.5,
            "b_vocab": torch.zeros(V),
        }
        self.params: dict[str, Tensor] = {
            name: values.to(dtype).requires_grad_() for name, values in params.items()
        }

    def loss(self, features: Any, captions: Any) -> Tensor:
        """Return the loss of captions (N, L), summed over the words but <NULL> and averaged over the batch.

        Features (N, D) may be a tensor or an array.
        """
        p = self.params
        captions = torch.as_tensor(captions)
        read, predicted = captions[:, :-1], captions[:, 1:]  # (N, T) each, T = L - 1
        forward = layers.lstm_forward if self.cell_type == "lstm" else layers.rnn_forward
        words = layers.word_embedding_forward(read, p["W_embed"])  # (N, T, W)
        h = forward(words, self._first_state(features), p["Wx"], p["Wh"], p["b"])  # (N, T, H)
        scores = layers.temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])  # (N, T, V)
        return layers.temporal_softmax_loss(scores, predicted, predicted != self._null)

    @torch.no_grad()
    def sample(self, features: Any, max_length: int = 30) -> Tensor:
        """Choose the likeliest next word, again and again, from <START> on: (N, max_length) int64.

        Arguments and errors are those of ``recap.reference.rnn.CaptioningRNN.sample``.
        """
        p = self.params
        h = self._first_state(features)  # (N, H)
        c = torch.zeros_like(h)
        words = torch.full((len(h),), check_start(self._start))  # (N,)
        captions = torch.full((len(h), max_length), self._null)
        for t in range(max_length):
            x = layers.word_embedding_forward(words, p["W_embed"])  # (N, W)
            if self.cell_type == "lstm":
                h, c = layers.lstm_step_forward(x, h, c, p["Wx"], p["Wh"], p["b"])
            else:
                h = layers.rnn_step_forward(x, h, p["Wx"], p["Wh"], p["b"])
            words = (h @ p["W_vocab"] + p["b_vocab"]).argmax(dim=1)
            captions[:, t] = words
        return captions

    def _first_state(self, features: Any) -> Tensor:
        features = torch.as_tensor(features, dtype=self.params["W_proj"].dtype)  # (N, D)
        return features @ self.params["W_proj"] + self.params["b_proj"]  # (N, H)

"""The captioning RNN and LSTM in NumPy: the image's feature, projected, is the first hidden state.

Shapes: N batch, T time, D feature, W word vector, H hidden, V vocabulary, L steps of a caption.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recap.errors import InputError
from recap.reference import layers

CELL_TYPES = {"rnn": 1, "lstm": 4}
"""The cells, and how many activations each has for a hidden unit."""

Array = NDArray[Any]


class CaptioningRNN:
    """Words from image features (Karpathy and Fei-Fei 2015; Vinyals et al. 2015).

    ``params`` is a mutable dict: W_embed (V, W), W_proj (D, H), b_proj (H,), Wx (W, kH), Wh (H, kH), b (kH,)
    with k = 4 for an LSTM and 1 for an RNN, W_vocab (H, V), b_vocab (V,). The weights are drawn from NumPy's
    global generator in this order.

    Args:
        word_to_idx: numbers by word; <NULL> must be there, <START> when captions are sampled.
        input_dim: D.
        wordvec_dim: W.
        hidden_dim: H.
        cell_type: "rnn" or "lstm".
        dtype: of the parameters; float64 for gradient checks.

    Raises:
        InputError: another cell type, or no <NULL>.
    """

    def __init__(
        self,
        word_to_idx: Mapping[str, int],
        input_dim: int = 512,
        wordvec_dim: int = 128,
        hidden_dim: int = 128,
        cell_type: str = "rnn",
        dtype: DTypeLike = np.float32,
    ) -> None:
        check_cell(cell_type)
        check_vocabulary(word_to_idx)
        self.cell_type = cell_type
        self.dtype = dtype
        self.word_to_idx = word_to_idx
        self.idx_to_word = {number: word for word, number in word_to_idx.items()}
        self._null = word_to_idx["<NULL>"]
        self._start = word_to_idx.get("<START>")
        self.params: dict[str, Array] = {
            name: values.astype(dtype)
            for name, values in draw_parameters(
                len(word_to_idx), input_dim, wordvec_dim, hidden_dim, CELL_TYPES[cell_type]
            ).items()
        }

    def loss(self, features: Array, captions: Array) -> tuple[float, dict[str, Array]]:
        """Return the loss, summed over words but <NULL>, averaged over the batch, and its gradients by name.

        Args:
            features: (N, D).
            captions: (N, L) integers in 0..V-1; the words but the last are read, all but the first predicted.
        """
        p = self.params
        forward, backward = (
            (layers.lstm_forward, layers.lstm_backward)
            if self.cell_type == "lstm"
            else (layers.rnn_forward, layers.rnn_backward)
        )
        read, predicted = captions[:, :-1], captions[:, 1:]  # (N, T) each, T = L - 1
        mask = predicted != self._null

        h0 = features @ p["W_proj"] + p["b_proj"]  # (N, H)
        words, words_cache = layers.word_embedding_forward(read, p["W_embed"])  # (N, T, W)
        h, h_cache = forward(words, h0, p["Wx"], p["Wh"], p["b"])  # (N, T, H)
        scores, scores_cache = layers.temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])  # (N, T, V)
        loss, dscores = layers.temporal_softmax_loss(scores, predicted, mask)

        grads: dict[str, Array] = {}
        dh, grads["W_vocab"], grads["b_vocab"] = layers.temporal_affine_backward(dscores, scores_cache)
        dwords, dh0, grads["Wx"], grads["Wh"], grads["b"] = backward(dh, h_cache)
        grads["W_embed"] = layers.word_embedding_backward(dwords, words_cache)
        grads["W_proj"], grads["b_proj"] = features.T @ dh0, dh0.sum(axis=0)
        return loss, grads

    def sample(self, features: Array, max_length: int = 30) -> Array:
        """Choose the likeliest next word again and again, also behind <END>: (N, max_length) int32.

        Raises:
            InputError: the vocabulary has no <START>.
        """
        p = self.params
        start = check_start(self._start)
        captions = np.full((len(features), max_length), self._null, dtype=np.int32)
        h = features @ p["W_proj"] + p["b_proj"]  # (N, H)
        c = np.zeros_like(h)
        words = np.full(len(features), start, dtype=np.int32)  # (N,)
        for t in range(max_length):
            x = p["W_embed"][words]  # (N, W)
            if self.cell_type == "lstm":
                h, c, _ = layers.lstm_step_forward(x, h, c, p["Wx"], p["Wh"], p["b"])
            else:
                h, _ = layers.rnn_step_forward(x, h, p["Wx"], p["Wh"], p["b"])
            words = (h @ p["W_vocab"] + p["b_vocab"]).argmax(axis=1)
            captions[:, t] = words
        return captions


def draw_parameters(V: int, D: int, W: int, H: int, gates: int) -> dict[str, Array]:
    """Draw initial parameters, float64, from NumPy's global generator, which notebooks seed.

    Word vectors have standard deviation 0.01, other weights 1 / sqrt(inputs) (Glorot and Bengio 2010); biases
    are 0.
    """

    def normal(rows: int, columns: int) -> Array:
        return np.random.randn(rows, columns)  # noqa: NPY002, the generator that notebooks seed

    return {
        "W_embed": normal(V, W) / 100,
        "W_proj": normal(D, H) / np.sqrt(D),
        "b_proj": np.zeros(H),
        "Wx": normal(W, gates * H) / np.sqrt(W),
        "Wh": normal(H, gates * H) / np.sqrt(H),
        "b": np.zeros(gates * H),
        "W_vocab": normal(H, V) / np.sqrt(H),
        "b_vocab": np.zeros(V),
    }


def check_cell(cell_type: str) -> None:
    """Raise InputError for a cell type that there is not."""
    if cell_type not in CELL_TYPES:
        raise InputError(f"cell_type: expected one of {', '.join(CELL_TYPES)}, received {cell_type!r}")


def check_vocabulary(word_to_idx: Mapping[str, int]) -> None:
    """Raise InputError for a vocabulary without <NULL>."""
    if "<NULL>" not in word_to_idx:
        raise InputError(f"word_to_idx: expected <NULL>, received {len(word_to_idx)} words without it")


def check_start(start: int | None) -> int:
    """Return the number of <START>; raise InputError when the vocabulary has none."""
    if start is None:
        raise InputError("word_to_idx: expected <START> to sample captions, received words without it")
    return start

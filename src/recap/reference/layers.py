"""The layers of the captioning RNN and LSTM in NumPy, their backward passes derived by hand.

Every forward function returns ``(out, cache)``, every backward function takes ``(dout, cache)``; ``dx`` is
the gradient of a scalar loss in x. docs/derivations.md derives the backward passes.

Shapes: N batch, T time, D input, H hidden, W word vector, V vocabulary, M output of an affine layer. Floating
arrays keep their dtype.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cache = tuple[Any, ...]


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), as (1 + tanh(x / 2)) / 2, which overflows for no x."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def rnn_step_forward(x: Array, prev_h: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Cache]:
    """Compute one step of a vanilla RNN: tanh(x Wx + prev_h Wh + b) (Elman 1990).

    Shapes: x (N, D), prev_h (N, H), Wx (D, H), Wh (H, H), b (H,).

    Returns:
        next_h (N, H), and the cache.
    """
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h: Array, cache: Cache) -> tuple[Array, Array, Array, Array, Array]:
    """Return the gradients of one RNN step from that of its output, (N, H).

    Returns:
        dx (N, D), dprev_h (N, H), dWx (D, H), dWh (H, H), db (H,).
    """
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)  # (N, H), tanh' = 1 - tanh^2
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def rnn_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Cache]:
    """Run a vanilla RNN over a sequence.

    Shapes: x (N, T, D), h0 (N, H), Wx (D, H), Wh (H, H), b (H,).

    Returns:
        Hidden states (N, T, H), and the cache.
    """
    h, states, caches = h0, [], []
    for t in range(x.shape[1]):
        h, cache = rnn_step_forward(x[:, t], h, Wx, Wh, b)
        states.append(h)
        caches.append(cache)
    return np.stack(states, axis=1), tuple(caches)  # T of (N, H) -> (N, T, H)


def rnn_backward(dh: Array, cache: Cache) -> tuple[Array, Array, Array, Array, Array]:
    """Backpropagate through time of ``rnn_forward`` (Werbos 1990).

    ``dh`` (N, T, H) are the gradients that reach each hidden state from above, not through later ones.

    Returns:
        dx (N, T, D), dh0 (N, H), dWx (D, H), dWh (H, H), db (H,).
    """
    _, _, Wx, Wh, _ = cache[0]
    dprev_h = np.zeros_like(dh[:, 0])  # (N, H)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(dh[0, 0])
    dx = np.empty((*dh.shape[:2], Wx.shape[0]), dtype=dh.dtype)  # (N, T, D)
    for t in reversed(range(dh.shape[1])):
        dx[:, t], dprev_h, *dweights = rnn_step_backward(dh[:, t] + dprev_h, cache[t])
        dWx, dWh, db = dWx + dweights[0], dWh + dweights[1], db + dweights[2]
    return dx, dprev_h, dWx, dWh, db


def lstm_step_forward(
    x: Array, prev_h: Array, prev_c: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, Array, Cache]:
    """Compute one step of an LSTM (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000).

    The activations x Wx + prev_h Wh + b are, in this order, those of the input, forget and output gate
    and of the block input.

    Shapes: x (N, D), prev_h (N, H), prev_c (N, H), Wx (D, 4H), Wh (H, 4H), b (4H,).

    Returns:
        next_h (N, H), next_c (N, H), and the cache.
    """
    activations = x @ Wx + prev_h @ Wh + b  # (N, 4H)
    hidden_dim = prev_h.shape[1]
    gates = sigmoid(activations[:, : 3 * hidden_dim])  # (N, 3H)
    i, f, o = np.split(gates, 3, axis=1)  # (N, H) each
    g = np.tanh(activations[:, 3 * hidden_dim :])  # (N, H)
    next_c = f * prev_c + i * g
    tanh_c = np.tanh(next_c)
    return o * tanh_c, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, tanh_c)


def lstm_step_backward(
    dnext_h: Array, dnext_c: Array, cache: Cache
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Return the gradients of one LSTM step from those of its hidden and cell state, both (N, H).

    Returns:
        dx (N, D), dprev_h (N, H), dprev_c (N, H), dWx (D, 4H), dWh (H, 4H), db (4H,).
    """
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, tanh_c = cache
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)  # the cell state acts through itself and through h
    da = np.concatenate(  # 4 of (N, H) -> (N, 4H); sigmoid' = s (1 - s)
        (
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * tanh_c * o * (1 - o),
            dc * i * (1 - g**2),
        ),
        axis=1,
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Cache]:
    """Run an LSTM over a sequence; the first cell state is 0.

    Shapes: x (N, T, D), h0 (N, H), Wx (D, 4H), Wh (H, 4H), b (4H,).

    Returns:
        Hidden states (N, T, H), and the cache.
    """
    h, c = h0, np.zeros_like(h0)
    states, caches = [], []
    for t in range(x.shape[1]):
        h, c, cache = lstm_step_forward(x[:, t], h, c, Wx, Wh, b)
        states.append(h)
        caches.append(cache)
    return np.stack(states, axis=1), tuple(caches)  # T of (N, H) -> (N, T, H)


def lstm_backward(dh: Array, cache: Cache) -> tuple[Array, Array, Array, Array, Array]:
    """Backpropagate through time of ``lstm_forward``; ``dh`` (N, T, H) as in ``rnn_backward``.

    Returns:
        dx (N, T, D), dh0 (N, H), dWx (D, 4H), dWh (H, 4H), db (4H,).
    """
    Wx, Wh = cache[0][3:5]
    dprev_h, dprev_c = np.zeros_like(dh[:, 0]), np.zeros_like(dh[:, 0])  # (N, H)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1], dtype=dh.dtype)
    dx = np.empty((*dh.shape[:2], Wx.shape[0]), dtype=dh.dtype)  # (N, T, D)
    for t in reversed(range(dh.shape[1])):
        step = lstm_step_backward(dh[:, t] + dprev_h, dprev_c, cache[t])
        dx[:, t], dprev_h, dprev_c, *dweights = step
        dWx, dWh, db = dWx + dweights[0], dWh + dweights[1], db + dweights[2]
    return dx, dprev_h, dWx, dWh, db


def word_embedding_forward(x: Array, W: Array) -> tuple[Array, Cache]:
    """Look up words x (N, T), integers in 0..V-1, in a table W (V, D) of a vector a word.

    Returns:
        Word vectors (N, T, D), and the cache.
    """
    return W[x], (x, W)


def word_embedding_backward(dout: Array, cache: Cache) -> Array:
    """Return the gradient (V, D) of the word vectors from that of the looked up ones, (N, T, D)."""
    x, W = cache
    dW = np.zeros_like(W)
    np.add.at(dW, x, dout)  # a word that occurs twice gets the sum
    return dW


def temporal_affine_forward(x: Array, w: Array, b: Array) -> tuple[Array, Cache]:
    """Apply the same affine map to every step of x (N, T, D), with w (D, M) and b (M,).

    Returns:
        x w + b (N, T, M), and the cache.
    """
    return x @ w + b, (x, w)


def temporal_affine_backward(dout: Array, cache: Cache) -> tuple[Array, Array, Array]:
    """Return the gradients of ``temporal_affine_forward`` from that of its output, (N, T, M).

    Returns:
        dx (N, T, D), dw (D, M), db (M,).
    """
    x, w = cache
    flat_x = x.reshape(-1, w.shape[0])  # (N, T, D) -> (N T, D)
    flat_dout = dout.reshape(-1, w.shape[1])  # (N, T, M) -> (N T, M)
    return dout @ w.T, flat_x.T @ flat_dout, flat_dout.sum(axis=0)


def temporal_softmax_loss(x: Array, y: Array, mask: Array, verbose: bool = False) -> tuple[float, Array]:
    """Compute the cross-entropy of softmax(x), summed over time and averaged over the batch.

    Args:
        x: scores (N, T, V).
        y: (N, T) integers in 0..V-1, the right words.
        mask: (N, T) boolean or 0 and 1; where it is 0, a step counts nothing.
        verbose: print the shape of the gradient.

    Returns:
        The loss, and its gradient in x (N, T, V).
    """
    batch = len(x)
    shifted = x - x.max(axis=2, keepdims=True)  # the softmax stays, exp cannot overflow
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))  # (N, T, V)
    right = y[:, :, None]  # (N, T, 1)
    chosen = np.take_along_axis(log_probabilities, right, axis=2)[:, :, 0]  # (N, T)
    loss = -float((chosen * mask).sum()) / batch
    dx = np.exp(log_probabilities)
    np.put_along_axis(dx, right, np.take_along_axis(dx, right, axis=2) - 1, axis=2)
    dx *= (mask / batch)[:, :, None].astype(x.dtype)  # (N, T, 1)
    if verbose:
        print(f"dx: {dx.shape}")
    return loss, dx

"""The layers of the captioning RNN and LSTM on tensors; autograd does the backward passes.

The same functions as in ``recap.reference.layers``, returning the output only.

Shapes: N batch, T time, D input, H hidden, W word vector, V vocabulary, M output of an affine layer.
"""

import torch
from torch import Tensor
from torch.nn import functional


def rnn_step_forward(x: Tensor, prev_h: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """Compute one step of a vanilla RNN: tanh(x Wx + prev_h Wh + b) (Elman 1990); the result is (N, H)."""
    return torch.tanh(x @ Wx + prev_h @ Wh + b)


def rnn_forward(x: Tensor, h0: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """Run a vanilla RNN over a sequence x (N, T, D) from h0 (N, H): hidden states (N, T, H)."""
    h, states = h0, []
    for step in x.unbind(dim=1):
        h = rnn_step_forward(step, h, Wx, Wh, b)
        states.append(h)
    return torch.stack(states, dim=1)  # T of (N, H) -> (N, T, H)


def lstm_step_forward(
    x: Tensor, prev_h: Tensor, prev_c: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute one step of an LSTM; returns next_h (N, H), next_c (N, H).

    Arguments are those of ``recap.reference.layers.lstm_step_forward``.
    """
    activations = x @ Wx + prev_h @ Wh + b  # (N, 4H)
    i, f, o, g = activations.chunk(4, dim=1)  # (N, H) each
    next_c = torch.sigmoid(f) * prev_c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(next_c), next_c


def lstm_forward(x: Tensor, h0: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """Run an LSTM over a sequence x (N, T, D) from h0 (N, H) and a cell state of 0: (N, T, H)."""
    h, c, states = h0, torch.zeros_like(h0), []
    for step in x.unbind(dim=1):
        h, c = lstm_step_forward(step, h, c, Wx, Wh, b)
        states.append(h)
    return torch.stack(states, dim=1)  # T of (N, H) -> (N, T, H)


def word_embedding_forward(x: Tensor, W: Tensor) -> Tensor:
    """Look up word vectors (N, T, D) of words x (N, T), integers in 0..V-1, in the table W (V, D)."""
    return functional.embedding(x, W)


def temporal_affine_forward(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Apply the same affine map at every step: x w + b (N, T, M) for x (N, T, D), w (D, M), b (M,)."""
    return x @ w + b


def temporal_softmax_loss(x: Tensor, y: Tensor, mask: Tensor, verbose: bool = False) -> Tensor:
    """Return the cross-entropy of softmax(x), summed over time and averaged over the batch.

    Arguments are those of ``recap.reference.layers.temporal_softmax_loss``.
    """
    # (N, T, V) -> (N T, V), and (N, T) -> (N T,) twice
    losses = functional.cross_entropy(x.flatten(0, 1), y.flatten().long(), reduction="none")
    if verbose:
        print(f"x: {tuple(x.shape)}")
    return (losses * mask.flatten()).sum() / len(x)

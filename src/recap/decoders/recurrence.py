"""The RNN's and the LSTM's recurrence over whole captions, on oneDNN's matrix products.

torch's own LSTM computes with MKL, whose bits depend on the processor's maker. A name that begins with
``of_`` is the gradient of what follows.

Shapes: N batch, T time, W word vector, H hidden.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recap.runtime.linear import multiplier, parameter_gradients, product


def recur(words: Tensor, first: Tensor, from_word: Tensor, from_state: Tensor, bias: Tensor) -> Tensor:
    """Compute h_t = tanh(W_x x_t + W_h h_{t-1} + b) from h_0 = ``first``.

    Args:
        words: x_1 .. x_T, (T, N, W).
        first: (N, H).
        from_word, from_state, bias: W_x (H, W), W_h (H, H), b (H,).

    Returns:
        h_1 .. h_T, (T, N, H).
    """
    return _Recurrence.apply(words, first, from_word, from_state, bias)


def recur_gated(words: Tensor, first: Tensor, from_word: Tensor, from_state: Tensor, bias: Tensor) -> Tensor:
    """Compute an LSTM (Hochreiter and Schmidhuber 1997) from h_0 = ``first`` and c_0 = 0.

    i, f, g, o = the quarters of W_x x_t + W_h h_{t-1} + b; c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g);
    h_t = sigmoid(o) tanh(c_t). As tanh x = 2 sigmoid(2 x) - 1, one sigmoid serves all four.

    Arguments and result are those of ``recur``, but for W_x (4 H, W), W_h (4 H, H) and b (4 H,).
    """
    return _GatedRecurrence.apply(words, first, from_word, from_state, bias)


class _Recurrence(torch.autograd.Function):
    """Keeps words and states side by side, for one product a step, and one over all steps backward."""

    @staticmethod
    def forward(
        ctx: Any, words: Tensor, first: Tensor, from_word: Tensor, from_state: Tensor, bias: Tensor
    ) -> Tensor:
        joined = _join(words, first)
        width = words.shape[2]
        weight = torch.cat((from_word, from_state), dim=1)  # (H, W + H)
        step = multiplier(weight, bias, then="tanh")
        for read, written in zip(joined[:-1], joined[1:, :, width:], strict=True):
            written.copy_(step(read))
        ctx.save_for_backward(joined, from_word, from_state)
        return joined[1:, :, width:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        joined, from_word, from_state = ctx.saved_tensors
        width = from_word.shape[1]
        states = joined[1:, :, width:]
        before_tanh = torch.empty_like(gradient, memory_format=torch.contiguous_format)  # (T, N, H)
        of_hidden = torch.zeros_like(gradient[0])  # (N, H)
        back, derive = multiplier(from_state.t()), torch.ops.aten.tanh_backward.grad_input
        for own, state, into in reversed(list(zip(gradient, states, before_tanh, strict=True))):
            derive(of_hidden.add_(own), state, grad_input=into)
            of_hidden = back(into)
        rows = before_tanh.flatten(0, 1)  # (T N, H)
        of_words = product(rows, from_word.t()).view(*gradient.shape[:2], width)
        if not any(ctx.needs_input_grad[2:]):
            return of_words, of_hidden, None, None, None
        of_weight, of_bias = parameter_gradients(joined[:-1].flatten(0, 1), rows)
        of_word, of_state = of_weight.split((width, len(from_state)), dim=1)  # (H, W), (H, H)
        return of_words, of_hidden, of_word, of_state, of_bias


class _GatedRecurrence(torch.autograd.Function):
    """Like ``_Recurrence``; the rows of g count twice in the product, which costs no rounding."""

    @staticmethod
    def forward(
        ctx: Any, words: Tensor, first: Tensor, from_word: Tensor, from_state: Tensor, bias: Tensor
    ) -> Tensor:
        joined = _join(words, first)
        width, size = words.shape[2], first.shape[1]
        weight = torch.cat((from_word, from_state), dim=1)  # (4 H, W + H)
        bias = bias.clone()
        weight[2 * size : 3 * size] *= 2
        bias[2 * size : 3 * size] *= 2
        step = multiplier(weight, bias, then="sigmoid")
        all_gates, cells, tanh_cells = [], [torch.zeros_like(first)], []
        for read, written in zip(joined[:-1], joined[1:, :, width:], strict=True):
            gates = step(read)  # (N, 4 H)
            input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=1)  # (N, H) each
            # input_gate (2 candidate - 1) + forget_gate cell
            cell = torch.addcmul(forget_gate * cells[-1] - input_gate, input_gate, candidate, value=2)
            tanh_cell = (2 * cell).sigmoid_().mul_(2).sub_(1)
            torch.mul(output_gate, tanh_cell, out=written)
            all_gates.append(gates)
            cells.append(cell)
            tanh_cells.append(tanh_cell)
        ctx.save_for_backward(joined, weight, *all_gates, *cells[:-1], *tanh_cells)
        return joined[1:, :, width:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        joined, weight, *steps = ctx.saved_tensors
        count = len(steps) // 3
        size = gradient.shape[2]
        width = weight.shape[1] - size
        of_gates = gradient.new_empty(*gradient.shape[:2], 4 * size)  # (T, N, 4 H), before sigmoid
        of_hidden, of_cell = torch.zeros_like(gradient[0]), torch.zeros_like(gradient[0])  # (N, H)
        from_word, from_state = (part.contiguous() for part in weight.split((width, size), dim=1))
        back, derive = multiplier(from_state.t()), torch.ops.aten.sigmoid_backward.grad_input
        for step in reversed(range(count)):
            gates, cell, tanh_cell = steps[step::count]
            input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=1)
            of_hidden += gradient[step]
            of_cell += of_hidden * output_gate * (1 - tanh_cell * tanh_cell)
            into = of_gates[step]
            of_input_gate, of_forget_gate, of_candidate, of_output_gate = into.chunk(4, dim=1)
            torch.mul(of_cell, 2 * candidate - 1, out=of_input_gate)
            torch.mul(of_cell, cell, out=of_forget_gate)
            torch.mul(of_cell, 2 * input_gate, out=of_candidate)
            torch.mul(of_hidden, tanh_cell, out=of_output_gate)
            derive(into, gates, grad_input=into)
            of_cell *= forget_gate
            of_hidden = back(into)
        rows = of_gates.flatten(0, 1)  # (T N, 4 H)
        of_words = product(rows, from_word.t()).view(*gradient.shape[:2], width)
        if not any(ctx.needs_input_grad[2:]):
            return of_words, of_hidden, None, None, None
        of_weight, of_bias = parameter_gradients(joined[:-1].flatten(0, 1), rows)
        of_weight[2 * size : 3 * size] *= 2
        of_bias[2 * size : 3 * size] *= 2
        of_word, of_state = of_weight.split((width, size), dim=1)  # (4 H, W), (4 H, H)
        return of_words, of_hidden, of_word, of_state, of_bias


def _join(words: Tensor, first: Tensor) -> Tensor:
    """Lay out words and, beside each, room for the state before it; fill in the first: (T + 1, N, W + H)."""
    steps, count, width = words.shape
    joined = words.new_empty(steps + 1, count, width + first.shape[1])
    joined[:-1, :, :width] = words
    joined[0, :, width:] = first
    return joined

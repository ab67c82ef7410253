"""Linear layers and the vanilla recurrence on oneDNN's matrix products.

torch multiplies float32 matrices on the CPU with MKL, which on other makers' processors leaves half of their
vector width idle; oneDNN, which torch brings too, does not.

Shapes: M rows, I inputs, O outputs, N batch, T time, W word vector, H hidden.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, then: Literal["none", "tanh"] = "none"
) -> Tensor:
    """x (M, I) times the transpose of weight (O, I), plus bias (O,), and its ``then``: (M, O).

    Called outside autograd; a weight that is neither contiguous nor a contiguous tensor's transpose is slow.
    """
    if takes(x):
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "")
        return result
    result = functional.linear(x, weight, bias)
    return result.tanh_() if then == "tanh" else result


def weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """The gradient (O, I) of a weight, from a layer's inputs (M, I) and the gradient (M, O) of its outputs.

    oneDNN wants its first factor contiguous: transposed is what takes less copying.
    """
    (rows, inputs), outputs = x.shape, gradient.shape[1]
    if inputs * (rows + outputs) < outputs * rows:
        return product(x.t(), gradient.t()).t().contiguous()
    return product(gradient.t(), x.t())


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (..., I) times the transpose of weight (O, I), plus bias (O,): (..., O)."""
    if x.dim() == 1 or not takes(x):
        return functional.linear(x, weight, bias)
    rows: Tensor = _Product.apply(x.flatten(0, -2), weight, bias)  # (M, O)
    return rows.unflatten(0, x.shape[:-1])


class Linear(nn.Linear):
    """nn.Linear, faster."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        return linear(x, self.weight, self.bias)


def recur(words: Tensor, first: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """h_t = tanh([x_t h_{t-1}] W^T + b) from h_0 = ``first``.

    Args:
        words: x_1 .. x_T, (T, N, W).
        first: (N, H).
        weight: W (H, W + H), that of words before that of hidden states.
        bias: b (H,).

    Returns:
        h_1 .. h_T, (T, N, H).
    """
    states: Tensor = _Recurrence.apply(words, first, weight, bias)
    return states


def takes(x: Tensor) -> bool:
    """Whether oneDNN multiplies it: float32 on a CPU, neither compiled nor under autocast."""
    fits = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0
    return _ONEDNN and fits and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if of_x else None,  # (M, I)
            weight_gradient(x, gradient) if of_weight else None,  # (O, I)
            gradient.sum(0) if of_bias else None,
        )


class _Recurrence(torch.autograd.Function):
    """Keeps words and states side by side; the weight's gradient is one product over all steps."""

    @staticmethod
    def forward(ctx: Any, words: Tensor, first: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        steps, _, width = words.shape
        joined = words.new_empty(steps + 1, len(first), width + first.shape[1])  # (T + 1, N, W + H)
        joined[:-1, :, :width] = words
        joined[0, :, width:] = first
        for read, written in zip(joined[:-1], joined[1:, :, width:], strict=True):
            written.copy_(product(read, weight, bias, then="tanh"))
        ctx.save_for_backward(joined, weight)
        return joined[1:, :, width:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        joined, weight = ctx.saved_tensors
        width = weight.shape[1] - len(weight)
        states = joined[1:, :, width:]
        before_tanh = torch.empty_like(gradient, memory_format=torch.contiguous_format)  # (T, N, H)
        carried = torch.zeros_like(gradient[0])  # (N, H)
        to_words, back = weight.t().contiguous().split((width, len(weight)))  # (W, H), (H, H)
        for own, state, into in reversed(list(zip(gradient, states, before_tanh, strict=True))):
            carried += own
            torch.ops.aten.tanh_backward.grad_input(carried, state, grad_input=into)
            carried = product(into, back)
        rows = before_tanh.flatten(0, 1)  # (T N, H)
        of_words = product(rows, to_words).view(*gradient.shape[:2], width)
        return of_words, carried, weight_gradient(joined[:-1].flatten(0, 1), rows), rows.sum(0)

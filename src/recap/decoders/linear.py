"""Linear layers and the vanilla recurrence on oneDNN's matrix products.

torch multiplies float32 matrices on the CPU with MKL, which on other makers' processors leaves half of their
vector width idle; oneDNN, which torch brings too, does not.

Shapes: M rows, I inputs, O outputs, N batch, T time, H hidden.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (M, I) times the transpose of weight (O, I), plus bias (O,): (M, O). Called outside autograd."""
    if takes(x):
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return result
    return functional.linear(x, weight, bias)


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


def recur(inputs: Tensor, first: Tensor, weight: Tensor) -> Tensor:
    """h_t = tanh(inputs_t + h_{t-1} W^T) from h_0 = ``first``.

    Args:
        inputs: (N, T, H).
        first: (N, H).
        weight: W (H, H).

    Returns:
        h_1 .. h_T, (N, T, H).
    """
    states: Tensor = _Recurrence.apply(inputs.transpose(0, 1), first, weight)  # (T, N, H)
    return states.transpose(0, 1)


def takes(x: Tensor) -> bool:
    """Whether oneDNN multiplies it: float32 on a CPU, neither compiled nor under autocast."""
    fits = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0
    return _ONEDNN and fits and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if of_x else None,  # (M, I)
            product(gradient.t(), x.t()) if of_weight else None,  # (O, I)
            gradient.sum(0) if of_bias else None,
        )


class _Recurrence(torch.autograd.Function):
    """Keeps only the states; the weight's gradient is one product over all steps."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, first: Tensor, weight: Tensor) -> Tensor:
        states = first.new_empty(len(inputs) + 1, *first.shape)  # (T + 1, N, H), h_0 too
        states[0] = first
        for before, x, state in zip(states[:-1], inputs, states[1:], strict=True):
            torch.tanh(product(before, weight).add_(x), out=state)
        ctx.save_for_backward(states, weight)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, weight = ctx.saved_tensors
        before_tanh = torch.empty_like(states[1:])  # (T, N, H)
        carried = torch.zeros_like(states[0])  # (N, H)
        back = weight.t().contiguous()
        for time in reversed(range(len(before_tanh))):
            carried += gradient[time]
            torch.ops.aten.tanh_backward.grad_input(carried, states[time + 1], grad_input=before_tanh[time])
            carried = product(before_tanh[time], back)
        of_weight = product(before_tanh.flatten(0, 1).t(), states[:-1].flatten(0, 1).t())  # (H, H)
        return before_tanh, carried, of_weight

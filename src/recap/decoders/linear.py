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

_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    and hasattr(torch.ops.aten, "mkldnn_linear_backward_weights")
)


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


def parameter_gradients(x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of a layer's weight (O, I) and bias (O,).

    oneDNN's own kernel wants copies of both factors, a product the second one transposed, which torch does on
    one core: the product pays where that factor is small.

    Args:
        x: the layer's inputs (M, I), contiguous.
        gradient: that of the layer's outputs (M, O), contiguous.
    """
    if takes(x) and 4 * gradient.shape[1] > x.shape[1]:
        copies = gradient.to_mkldnn(), x.to_mkldnn()
        # its third argument is to be the weight, of which it asks the dtype alone
        of_weight, of_bias = torch.ops.aten.mkldnn_linear_backward_weights(*copies, x, True)
        return of_weight, of_bias
    return product(gradient.t(), x.t()), gradient.sum(0)


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


def recur(words: Tensor, first: Tensor, from_word: Tensor, from_state: Tensor, bias: Tensor) -> Tensor:
    """h_t = tanh(W_x x_t + W_h h_{t-1} + b) from h_0 = ``first``.

    Args:
        words: x_1 .. x_T, (T, N, W).
        first: (N, H).
        from_word: W_x (H, W).
        from_state: W_h (H, H).
        bias: b (H,).

    Returns:
        h_1 .. h_T, (T, N, H).
    """
    states: Tensor = _Recurrence.apply(words, first, from_word, from_state, bias)
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
        of_x = product(gradient, weight.t()) if ctx.needs_input_grad[0] else None  # (M, I)
        if not any(ctx.needs_input_grad[1:]):
            return of_x, None, None
        return of_x, *parameter_gradients(x, gradient)  # (O, I), (O,)


class _Recurrence(torch.autograd.Function):
    """Keeps words and states side by side, for one product a step, and one over all steps backward."""

    @staticmethod
    def forward(
        ctx: Any, words: Tensor, first: Tensor, from_word: Tensor, from_state: Tensor, bias: Tensor
    ) -> Tensor:
        steps, _, width = words.shape
        joined = words.new_empty(steps + 1, len(first), width + first.shape[1])  # (T + 1, N, W + H)
        joined[:-1, :, :width] = words
        joined[0, :, width:] = first
        weight = torch.cat((from_word, from_state), dim=1)  # (H, W + H)
        for read, written in zip(joined[:-1], joined[1:, :, width:], strict=True):
            written.copy_(product(read, weight, bias, then="tanh"))
        ctx.save_for_backward(joined, from_word, from_state)
        return joined[1:, :, width:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        joined, from_word, from_state = ctx.saved_tensors
        width = from_word.shape[1]
        states = joined[1:, :, width:]
        before_tanh = torch.empty_like(gradient, memory_format=torch.contiguous_format)  # (T, N, H)
        carried = torch.zeros_like(gradient[0])  # (N, H)
        back, derive = from_state.t(), torch.ops.aten.tanh_backward.grad_input
        for own, state, into in reversed(list(zip(gradient, states, before_tanh, strict=True))):
            derive(carried.add_(own), state, grad_input=into)
            carried = product(into, back)
        rows = before_tanh.flatten(0, 1)  # (T N, H)
        of_words = product(rows, from_word.t()).view(*gradient.shape[:2], width)
        of_weight, of_bias = parameter_gradients(joined[:-1].flatten(0, 1), rows)
        of_word, of_state = of_weight.split((width, len(from_state)), dim=1)  # (H, W), (H, H)
        return of_words, carried, of_word, of_state, of_bias

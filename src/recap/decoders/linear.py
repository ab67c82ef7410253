"""Linear layers on oneDNN's matrix products.

torch multiplies float32 matrices on the CPU with MKL, whose bits and speed depend on the processor's maker;
oneDNN, which torch brings too, computes the same bits on every one, and is as fast.

Shapes: M rows, I inputs, O outputs.
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
    x: Tensor, weight: Tensor, bias: Tensor | None = None, then: Literal["none", "tanh", "sigmoid"] = "none"
) -> Tensor:
    """x (M, I) times the transpose of weight (O, I), plus bias (O,), and its ``then``: (M, O).

    Called outside autograd; a weight that is neither contiguous nor a contiguous tensor's transpose is slow.
    """
    if takes(x):
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "")
        return result
    result = functional.linear(x, weight, bias)
    return result if then == "none" else {"tanh": torch.tanh, "sigmoid": torch.sigmoid}[then](result)


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


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
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


def takes(x: Tensor) -> bool:
    """Whether oneDNN multiplies it: float32 on a CPU, neither compiled nor under autocast."""
    fits = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0
    return _ONEDNN and fits and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
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

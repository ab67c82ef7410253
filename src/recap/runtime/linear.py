"""Linear layers on oneDNN's matrix products.

torch multiplies float32 matrices on the CPU with MKL, whose bits and speed depend on the processor's maker;
oneDNN, which torch brings too, computes the same bits on every one, and is as fast.

Shapes: M rows, I inputs, O outputs.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


Then = Literal["none", "tanh", "sigmoid"]
"""What a product is followed by."""

_TERMS = 512
"""Sums of 513 to 1,024 terms are those that oneDNN adds in one order with AVX2, in another with AVX-512."""


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x (M, I) times weight (O, I) transposed, plus bias (O,): (M, O); outside autograd."""
    return multiplier(weight, bias)(x)


def multiplier(weight: Tensor, bias: Tensor | None = None, then: Then = "none") -> Callable[[Tensor], Tensor]:
    """Return ``product`` with a fixed weight, which is laid out once."""
    if takes(weight):
        return by_onednn(weight, bias, then)
    return lambda x: _follow(functional.linear(x, weight, bias), then)


def by_onednn(weight: Tensor, bias: Tensor | None = None, then: Then = "none") -> Callable[[Tensor], Tensor]:
    """Return ``multiplier`` of float32 on a CPU, with the same bits for AVX2 and AVX-512."""
    multiply, multiply_add = (
        torch.ops.mkldnn._linear_pointwise.default,
        torch.ops.mkldnn._linear_pointwise.binary,
    )
    split = _TERMS < weight.shape[1] <= 2 * _TERMS
    parts = [_compact(part) for part in (weight.split(_TERMS, dim=1) if split else [weight])]

    def compute(x: Tensor) -> Tensor:
        # for a single row, a transposed weight would give another order of additions
        own = parts if len(x) > 1 else [part.contiguous() for part in parts]
        if not split:
            return multiply(x, own[0], bias, then, [], "")
        first, second = x.split(_TERMS, dim=1)
        result = multiply_add(second, multiply(first, own[0], None, "none", [], ""), own[1], bias, "add")
        return _follow(result, then)

    return compute


def _compact(weight: Tensor) -> Tensor:
    """Return a layout that oneDNN multiplies fast: contiguous, or a contiguous tensor's transpose."""
    return weight if weight.is_contiguous() or weight.t().is_contiguous() else weight.contiguous()


def _follow(x: Tensor, then: Then) -> Tensor:
    return x if then == "none" else {"tanh": torch.tanh, "sigmoid": torch.sigmoid}[then](x)


def parameter_gradients(x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of a weight (O, I) and bias (O,), from x (M, I) and the outputs' (M, O)."""
    # oneDNN copies what comes first, so that is the narrower one; the bits are the same
    if gradient.shape[1] > x.shape[1]:
        return product(x.t(), gradient.t()).t(), gradient.sum(0)
    return product(gradient.t(), x.t()), gradient.sum(0)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., I) by the transpose of weight (O, I), add bias (O,): (..., O)."""
    half = x.is_cuda and torch.is_autocast_enabled("cuda")
    if x.dim() == 1 or not (half or takes(x)):
        return functional.linear(x, weight, bias)
    multiply = _HalfProduct if half else _Product
    rows = multiply.apply(x.flatten(0, -2), weight, bias)  # (M, O)
    return rows.unflatten(0, x.shape[:-1])


class Linear(nn.Linear):
    """nn.Linear, faster."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to (..., O)."""
        return linear(x, self.weight, self.bias)


def takes(x: Tensor) -> bool:
    """Return whether oneDNN can multiply it: float32 on a CPU, not under autocast."""
    fits = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0
    return _ONEDNN and fits and not torch.is_autocast_enabled("cpu")


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


class _HalfProduct(torch.autograd.Function):
    """A GPU's product under autocast; gradients come out of its products in float32, the bias's of one too.

    By themselves they would be cast one by one, and torch's sum over rows is slower than a product with ones.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype = torch.get_autocast_dtype("cuda")
        ctx.dtypes = x.dtype, weight.dtype
        x, weight = x.to(dtype), weight.to(dtype)
        ctx.save_for_backward(x, weight)
        return functional.linear(x, weight, None if bias is None else bias.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        of_dtype, dtype = ctx.dtypes
        gradient = gradient.contiguous()
        ones = gradient.new_ones(1, len(gradient))
        return (
            _multiply(gradient, weight, of_dtype) if of_x else None,  # (M, I)
            _multiply(gradient.t(), x, dtype) if of_weight else None,  # (O, I)
            _multiply(ones, gradient, dtype)[0] if of_bias else None,  # (O,)
        )


def _multiply(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the product of matrices of half precision as ``dtype``."""
    if dtype == torch.float32:
        return torch.mm(left, right, out_dtype=dtype)
    return (left @ right).to(dtype)

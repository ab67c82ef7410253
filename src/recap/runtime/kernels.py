"""Kernels for the operations that torch gives to MKL: the same bits everywhere, by oneDNN and NumPy.

MKL chooses its code by the maker of the processor, so its products, vector functions and transforms differ
between machines. Here each gets a kernel in torch's own table of operations, below autograd: code that calls
``@``, nn.Linear or tanh becomes portable without a change. Products of float32 matrices go to oneDNN, which
is told its instruction set (``recap.core.arithmetic``); the rest goes to NumPy and its OpenBLAS.

Shapes: B batch, M rows, K inner, N columns.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.runtime.linear import by_onednn

BY_NUMPY = ("exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "tanh", "sqrt")

_kernels: list[torch.library.Library] = []


def install() -> None:
    """Put the kernels into torch's table, for this process; once is enough."""
    if _kernels:
        return
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns that kernels are replaced
        for name, kernel in _all_kernels().items():
            library.impl(name, kernel, "CPU", allow_override=True)
    torch.backends.nnpack.set_flags(False)  # its block sizes depend on the processor's caches
    # attention as separate products: the fused kernel calls MKL itself, not by this table
    torch.backends.cuda.enable_flash_sdp(False)
    _kernels.append(library)


def is_installed() -> bool:
    """Return whether this process computes by these kernels."""
    return bool(_kernels)


def _all_kernels() -> dict[str, Callable[..., Any]]:
    kernels: dict[str, Callable[..., Any]] = {
        "mm": _mm,
        "mm.out": _into(_mm),
        "addmm": _addmm,
        "addmm.out": _into(_addmm),
        "addmm_": _in_place(_addmm),
        "mv": _mv,
        "addmv": _addmv,
        "dot": _dot,
        "bmm": _numpy_product,
        "bmm.out": _into(_numpy_product),
        "baddbmm": _baddbmm,
        "baddbmm.out": _into(_baddbmm),
        "baddbmm_": _in_place(_baddbmm),
        "_slow_conv2d_forward": _convolve,
        "_slow_conv2d_backward.output_mask": _convolve_backward,
        "linalg_qr": _qr,
        "_fft_r2c": _fft_r2c,
        "_fft_c2r": _fft_c2r,
        "_fft_c2c": _fft_c2c,
    }
    for name in BY_NUMPY:
        function = _by_numpy(getattr(np, name))
        kernels |= {name: function, f"{name}.out": _into(function), f"{name}_": _in_place(function)}
    return kernels


def _into(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def write(*arguments: Any, out: Tensor, **options: Any) -> Tensor:
        result = kernel(*arguments, **options)
        if out.shape != result.shape:
            out.resize_(result.shape)
        return out.copy_(result)

    return write


def _in_place(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def write(first: Tensor, *arguments: Any, **options: Any) -> Tensor:
        return first.copy_(kernel(first, *arguments, **options))

    return write


def _array(tensor: Tensor) -> NDArray[Any]:
    """Return a view of a tensor's memory."""
    return tensor.detach().resolve_conj().resolve_neg().numpy()


def _by_numpy(function: Callable[..., Any]) -> Callable[[Tensor], Tensor]:
    def compute(x: Tensor) -> Tensor:
        if not x.is_floating_point() or x.dtype in (torch.bfloat16, torch.float16):
            return compute(x.to(torch.float32)).to(x.dtype if x.is_floating_point() else torch.float32)
        return torch.from_numpy(np.asarray(function(_array(x))))

    return compute


def _mm(a: Tensor, b: Tensor) -> Tensor:
    """Multiply (M, K) by (K, N)."""
    if a.dtype == torch.float32 and a.numel() and b.numel():
        return by_onednn(b.t())(a)
    return _numpy_product(a, b)


def _numpy_product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply (..., M, K) by (..., K, N)."""
    return torch.from_numpy(np.asarray(np.matmul(_array(a), _array(b))))


def _scaled_sum(first: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """Return beta first + alpha product; with a beta of 0, NaN in the first is ignored."""
    if alpha != 1:
        product = product.mul_(alpha)
    if beta == 0:
        return product
    return product.add_(first, alpha=beta)


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return beta bias + alpha (M, K) @ (K, N)."""
    whole = beta == 1 and alpha == 1 and a.dtype == torch.float32 and bias.dim() == 1
    if whole and a.numel() and b.numel() and len(bias) == b.shape[1]:
        return by_onednn(b.t(), bias)(a)
    return _scaled_sum(bias, _mm(a, b), beta, alpha)


def _mv(a: Tensor, b: Tensor) -> Tensor:
    return _mm(a, b[:, None])[:, 0]


def _addmv(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return _scaled_sum(bias, _mv(a, b), beta, alpha)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum()


def _baddbmm(first: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return beta first + alpha (B, M, K) @ (B, K, N)."""
    return _scaled_sum(first, _numpy_product(a, b), beta, alpha)


def _convolve(
    x: Tensor, weight: Tensor, kernel: list[int], bias: Tensor | None, stride: list[int], padding: list[int]
) -> Tensor:
    """Convolve where torch does not ask oneDNN: one small image, or 1 x 1 on one thread."""
    patches = _patches(x, kernel, stride, padding)  # (B, K, N)
    result = torch.stack([_mm(weight.flatten(1), patch) for patch in patches])  # (B, M, N)
    if bias is not None:
        result += bias[:, None]
    sides = [
        (size + 2 * pad - own) // step + 1
        for size, pad, own, step in zip(x.shape[2:], padding, kernel, stride, strict=True)
    ]
    return result.unflatten(2, sides)


def _patches(x: Tensor, kernel: list[int], stride: list[int], padding: list[int]) -> Tensor:
    """Return the inputs at each place of the kernel: (B, channels x kernel, places)."""
    return torch.ops.aten.im2col(x, kernel, [1, 1], padding, stride)


def _convolve_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    wanted: list[bool],
) -> tuple[Tensor | None, ...]:
    """Return the gradients of images, weights and biases."""
    rows, of_x, of_weight = gradient.flatten(2), None, None  # (B, M, N)
    if wanted[0]:
        patches = torch.stack([_mm(weight.flatten(1).t(), row) for row in rows])  # (B, K, N)
        of_x = torch.ops.aten.col2im(patches, x.shape[2:], kernel, [1, 1], padding, stride)
    if wanted[1]:
        patches = _patches(x, kernel, stride, padding)
        products = [_mm(row, patch.t()) for row, patch in zip(rows, patches, strict=True)]
        of_weight = torch.stack(products).sum(0).view_as(weight)
    return of_x, of_weight, rows.sum((0, 2)) if wanted[2] else None


def _qr(a: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    numpy: Any = np.linalg.qr
    if mode == "r":
        return a.new_empty(0), torch.from_numpy(numpy(_array(a), mode))
    q, r = numpy(_array(a), mode)
    return torch.from_numpy(q), torch.from_numpy(r)


_NORMS: tuple[Any, ...] = ("backward", "ortho", "forward")
"""How transforms are scaled, by torch's number: a forward one by 1, 1 / sqrt(n) or 1 / n."""


def _fft_r2c(x: Tensor, axes: list[int], normalization: int, onesided: bool) -> Tensor:
    transform: Any = np.fft.rfftn if onesided else np.fft.fftn
    return torch.from_numpy(transform(_array(x), axes=axes, norm=_NORMS[normalization]))


def _fft_c2r(x: Tensor, axes: list[int], normalization: int, last: int) -> Tensor:
    sizes = [*(x.shape[axis] for axis in axes[:-1]), last]
    return torch.from_numpy(np.fft.irfftn(_array(x), sizes, axes, _NORMS[2 - normalization]))


def _fft_c2c(x: Tensor, axes: list[int], normalization: int, forward: bool) -> Tensor:
    if forward:
        return torch.from_numpy(np.fft.fftn(_array(x), axes=axes, norm=_NORMS[normalization]))
    return torch.from_numpy(np.fft.ifftn(_array(x), axes=axes, norm=_NORMS[2 - normalization]))

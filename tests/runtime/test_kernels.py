"""The kernels that stand in for MKL compute what torch's own do, for every layout, size and dtype."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from recap.runtime import kernels

SIZES = st.integers(0, 9)
DTYPES = st.sampled_from([torch.float32, torch.float64])
TOLERANCES = {torch.float32: 2e-5, torch.float64: 1e-12}


@pytest.fixture(autouse=True, scope="module")
def installed() -> Iterator[None]:
    """The kernels, for this module's tests alone."""
    kernels.install()
    yield
    kernels._kernels.pop()._destroy()
    torch.backends.cuda.enable_flash_sdp(True)
    torch.backends.nnpack.set_flags(True)
    assert not kernels.is_installed()


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1, turned: bool = False) -> Tensor:
    """A tensor; ``turned``: its last two axes lie in memory the other way round."""
    *outer, rows, columns = shape
    shape = (*outer, columns, rows) if turned else shape
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return drawn.transpose(-1, -2) if turned else drawn


def exact(a: Tensor, b: Tensor) -> Tensor:
    """The product by sums of entries, in float64."""
    return (a.double()[..., :, :, None] * b.double()[..., None, :, :]).sum(-2)


def close(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> None:
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), theirs.double(), rtol=0, atol=TOLERANCES[dtype])


@given(SIZES, SIZES, SIZES, DTYPES, st.booleans(), st.booleans(), st.booleans())
def test_products_are_the_sums(
    rows: int, inner: int, columns: int, dtype: torch.dtype, turn_a: bool, turn_b: bool, sliced: bool
) -> None:
    a = draw(rows, inner, dtype=dtype, turned=turn_a)
    b = draw(inner, columns * (2 if sliced else 1), dtype=dtype, seed=2, turned=turn_b)
    b = b[:, ::2] if sliced else b
    bias, start = draw(1, columns, dtype=dtype)[0], draw(rows, columns, dtype=dtype, seed=3)
    product = exact(a, b)
    close(a @ b, product, dtype)
    close(torch.addmm(bias, a, b), bias + product, dtype)
    close(torch.addmm(start, a, b, beta=0.5, alpha=2), 0.5 * start + 2 * product, dtype)
    close(torch.addmm(start * torch.nan, a, b, beta=0), product, dtype)
    close(torch.mm(a, b, out=torch.empty(0, dtype=dtype)), product, dtype)
    close(start.clone().addmm_(a, b), start + product, dtype)
    if columns:
        close(a @ b[:, 0], product[:, 0], dtype)
        close(torch.addmv(start[:, 0], a, b[:, 0], alpha=2), start[:, 0] + 2 * product[:, 0], dtype)


@given(st.integers(0, 3), SIZES, SIZES, SIZES, DTYPES, st.booleans())
def test_batched_products_are_the_sums(
    count: int, rows: int, inner: int, columns: int, dtype: torch.dtype, turned: bool
) -> None:
    a = draw(count, rows, inner, dtype=dtype, turned=turned)
    b = draw(count, inner, columns, dtype=dtype, seed=2, turned=not turned)
    start = draw(rows, columns, dtype=dtype)
    close(torch.bmm(a, b), exact(a, b), dtype)
    close(torch.baddbmm(start, a, b, alpha=0.5), start + 0.5 * exact(a, b), dtype)


@given(DTYPES, st.sampled_from(kernels.BY_NUMPY), st.sampled_from([(), (0,), (3, 5)]))
def test_functions_of_entries_are_those_of_float64(
    dtype: torch.dtype, name: str, shape: tuple[int, ...]
) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype) + 0.1
    with torch.inference_mode():
        truth = getattr(torch, name)(x.double())
        close(getattr(torch, name)(x), truth, dtype)
        close(getattr(torch, name)(x.t() if x.dim() == 2 else x), truth.t() if x.dim() == 2 else truth, dtype)
        close(getattr(x.clone(), f"{name}_")(), truth, dtype)
        close(getattr(torch, name)(x, out=torch.empty(0, dtype=dtype)), truth, dtype)
    assert torch.tensor(4).sqrt() == 2


def test_a_square_root_is_the_nearest_number() -> None:
    x = torch.rand(9999, generator=torch.Generator().manual_seed(1)) + 0.1
    assert torch.equal(x.sqrt(), x.double().sqrt().float())


def test_a_tiny_tanh_keeps_its_digits() -> None:
    x = torch.tensor([1e-6, -3e-5, 0.0])
    torch.testing.assert_close(x.tanh(), x, rtol=1e-6, atol=0)


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_transforms_undo_each_other_and_keep_the_norm(norm: str) -> None:
    x = draw(3, 8, 10)
    spectrum = torch.fft.rfft2(x, norm=norm)
    close(torch.fft.irfft2(spectrum, s=(8, 10), norm=norm), x, torch.float32)
    whole = torch.fft.fft2(x, norm=norm)
    torch.testing.assert_close(whole[..., :6], spectrum, rtol=0, atol=2e-5)
    torch.testing.assert_close(torch.fft.ifft2(whole, norm=norm).real, x, rtol=0, atol=2e-5)
    count = {"backward": 1, "ortho": 80**0.5, "forward": 80}[norm]
    torch.testing.assert_close(spectrum[:, 0, 0].real, x.sum((1, 2)) / count, rtol=1e-5, atol=1e-5)


def test_an_orthogonal_matrix_is_one() -> None:
    q, r = torch.linalg.qr(draw(7, 5))
    close(q.t() @ q, torch.eye(5), torch.float32)
    close(q @ r, draw(7, 5), torch.float32)
    weight = torch.nn.init.orthogonal_(torch.empty(6, 6))
    close(weight @ weight.t(), torch.eye(6), torch.float32)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_convolutions_of_few_images_and_their_gradients(
    count: int, side: int, stride: int, threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = []
        for dtype in (torch.float32, torch.float64):
            x = draw(count, 3, 9, 10).to(dtype).requires_grad_()
            weight = draw(5, 3, side, side, seed=2).to(dtype).requires_grad_()
            bias = draw(1, 5, seed=3)[0].to(dtype).requires_grad_()
            y = functional.conv2d(x, weight, bias, stride=stride, padding=side // 2)
            results.append((y, *torch.autograd.grad(y.square().sum(), [x, weight, bias])))
    finally:
        torch.set_num_threads(before)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-3)
    x, weight = results[1][1].detach().requires_grad_(), results[1][2].detach()
    assert torch.autograd.gradcheck(
        lambda part: functional.conv2d(part, weight, stride=stride, padding=side // 2), (x,)
    )


def test_gradients_pass_through() -> None:
    x = draw(4, 3, dtype=torch.float64).requires_grad_()
    weight = draw(3, 5, dtype=torch.float64, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: (a @ b).tanh().exp().sqrt(), (x, weight))
    batch = draw(2, 4, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: functional.scaled_dot_product_attention(a, a, a), (batch,))


def test_installing_twice_changes_nothing() -> None:
    before = list(kernels._kernels)
    kernels.install()
    assert kernels._kernels == before

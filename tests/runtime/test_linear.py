"""Products by oneDNN are those of torch, their gradients too."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from recap.runtime.linear import Linear, linear, product

TOLERANCES = [(torch.float32, 2e-5), (torch.float64, 1e-12)]


def draw(*shape: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("outputs", [2, 6, 40])
@pytest.mark.parametrize("shape", [(9,), (1, 9), (30, 9), (4, 5, 9), (0, 9)])
@pytest.mark.parametrize("strided", [False, True])
def test_a_linear_layer_is_that_of_torch(
    shape: tuple[int, ...], outputs: int, strided: bool, dtype: torch.dtype, tolerance: float
) -> None:
    results = []
    for kind in (Linear, nn.Linear):
        torch.manual_seed(0)
        layer = kind(9, outputs).to(dtype)
        x = draw(*shape, seed=1, dtype=dtype).requires_grad_()
        result = layer(x.repeat_interleave(2, dim=-1)[..., ::2] if strided else x)
        loss = (result * draw(*result.shape, seed=2, dtype=dtype)).sum()
        results.append((result, *torch.autograd.grad(loss, [x, layer.weight, layer.bias])))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def test_a_product_takes_transposes() -> None:
    x, weight = draw(5, 8, seed=1, dtype=torch.float32), draw(8, 4, seed=2, dtype=torch.float32)
    torch.testing.assert_close(product(x, weight.t()), x @ weight, rtol=0, atol=2e-5)
    torch.testing.assert_close(product(weight.t(), x), weight.t() @ x.t(), rtol=0, atol=2e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpu_under_autocast_multiplies_as_torch_does(dtype: torch.dtype) -> None:
    shapes = [(7, 5, 24), (40, 24), (40,), (7, 5, 40)]
    x, weight, bias, gradient = (
        draw(*shape, seed=seed, dtype=torch.float32).cuda() for seed, shape in enumerate(shapes)
    )
    results = []
    for multiply in (linear, functional.linear):
        inputs = [
            x.to(dtype).requires_grad_(),
            weight.clone().requires_grad_(),
            bias.clone().requires_grad_(),
        ]
        with torch.autocast("cuda", torch.bfloat16):
            result = multiply(*inputs)
        result.backward(gradient.to(result.dtype))
        results.append([result, *(own.grad for own in inputs)])
    for own, expected in zip(*results, strict=True):
        assert own.dtype == expected.dtype
        torch.testing.assert_close(own, expected, rtol=2e-2, atol=2e-2)

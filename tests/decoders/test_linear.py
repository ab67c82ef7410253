"""Products by oneDNN are those of torch, their gradients too; the recurrence is nn.RNN's."""

import pytest
import torch
from torch import nn

from recap.decoders.linear import Linear, product, recur

TOLERANCES = [(torch.float32, 2e-5), (torch.float64, 1e-12)]


def draw(*shape: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("shape", [(9,), (1, 9), (30, 9), (4, 5, 9), (0, 9)])
def test_a_linear_layer_is_that_of_torch(
    shape: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    results = []
    for kind in (Linear, nn.Linear):
        torch.manual_seed(0)
        layer = kind(9, 6).to(dtype)
        x = draw(*shape, seed=1, dtype=dtype).requires_grad_()
        result = layer(x)
        loss = (result * draw(*result.shape, seed=2, dtype=dtype)).sum()
        results.append((result, *torch.autograd.grad(loss, [x, layer.weight, layer.bias])))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_the_recurrence_is_that_of_torch(dtype: torch.dtype, tolerance: float) -> None:
    reference = nn.RNN(7, 7, batch_first=True, bias=False).to(dtype)
    nn.init.eye_(reference.weight_ih_l0)
    inputs = draw(3, 6, 7, seed=1, dtype=dtype).requires_grad_()
    first = draw(3, 7, seed=2, dtype=dtype).requires_grad_()
    weight = reference.weight_hh_l0
    factors = draw(3, 6, 7, seed=3, dtype=dtype)
    results = []
    for states in (recur(inputs, first, weight), reference(inputs, first[None])[0]):
        gradients = torch.autograd.grad((states * factors).sum(), [inputs, first, weight])
        results.append((states, *gradients))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def test_a_product_takes_transposes() -> None:
    x, weight = draw(5, 8, seed=1, dtype=torch.float32), draw(8, 4, seed=2, dtype=torch.float32)
    torch.testing.assert_close(product(x, weight.t()), x @ weight, rtol=0, atol=2e-5)
    torch.testing.assert_close(product(weight.t(), x), weight.t() @ x.t(), rtol=0, atol=2e-5)

"""Products by oneDNN are those of torch, their gradients too; the recurrence is nn.RNN's."""

import pytest
import torch
from torch import nn

from recap.decoders.linear import Linear, product, recur

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


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_the_recurrence_is_that_of_torch(dtype: torch.dtype, tolerance: float) -> None:
    reference = nn.RNN(5, 7).to(dtype)
    words = draw(6, 3, 5, seed=1, dtype=dtype).requires_grad_()
    first = draw(3, 7, seed=2, dtype=dtype).requires_grad_()
    factors = draw(6, 3, 7, seed=3, dtype=dtype)
    parameters = list(reference.parameters())
    own = (
        reference.weight_ih_l0,
        reference.weight_hh_l0,
        reference.bias_ih_l0 + reference.bias_hh_l0,
    )
    results = []
    for states in (recur(words, first, *own), reference(words, first[None])[0]):
        gradients = torch.autograd.grad((states * factors).sum(), [words, first, *parameters])
        results.append((states, *gradients))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def test_a_product_takes_transposes() -> None:
    x, weight = draw(5, 8, seed=1, dtype=torch.float32), draw(8, 4, seed=2, dtype=torch.float32)
    torch.testing.assert_close(product(x, weight.t()), x @ weight, rtol=0, atol=2e-5)
    torch.testing.assert_close(product(weight.t(), x), weight.t() @ x.t(), rtol=0, atol=2e-5)

"""The recurrences over whole captions are those of nn.RNN and nn.LSTM, their gradients too."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from recap.decoders.recurrence import recur, recur_gated

TOLERANCES = {torch.float32: 2e-5, torch.float64: 1e-12}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("cell", "recurrence"), [(nn.RNN, recur), (nn.LSTM, recur_gated)])
def test_a_recurrence_is_that_of_torch(
    cell: type[nn.RNNBase], recurrence: Callable[..., torch.Tensor], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    reference = cell(5, 7).to(dtype)
    words = torch.randn(6, 3, 5, dtype=dtype, requires_grad=True)
    first = torch.randn(3, 7, dtype=dtype, requires_grad=True)
    factors = torch.randn(6, 3, 7, dtype=dtype)
    parameters = list(reference.parameters())
    own = (
        reference.weight_ih_l0,
        reference.weight_hh_l0,
        reference.bias_ih_l0 + reference.bias_hh_l0,
    )
    results = []
    layered = first[None]
    state = (layered, torch.zeros_like(layered)) if cell is nn.LSTM else layered
    for states in (recurrence(words, first, *own), reference(words, state)[0]):
        gradients = torch.autograd.grad((states * factors).sum(), [words, first, *parameters])
        results.append((states, *gradients))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCES[dtype])

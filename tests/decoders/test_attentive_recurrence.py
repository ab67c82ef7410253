"""The recurrence with attention is that of torch's operations word by word, its gradients too."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from recap.decoders.attentive_recurrence import recur_attentively

N, T, P, M, A, W, H = 3, 4, 5, 2, 6, 3, 7
SHAPES = {
    "words": (T, N, W),
    "first": (N, H),
    "places": (N, P, M),
    "keys": (N, P, A),
    "query_weight": (A + 1, H),
    "query_bias": (A + 1,),
    "energy": (1, A),
    "energy_bias": (1,),
    "gates": (4 * H, W + M + H),
    "gates_bias": (4 * H,),
}
TOLERANCES = {torch.float32: 2e-5, torch.float64: 1e-12}


def draw(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.randn(shape, dtype=dtype, generator=generator) for shape in SHAPES.values())
    return [x.requires_grad_() for x in drawn]


def fused(*inputs: Tensor) -> tuple[Tensor, Tensor]:
    words, first, places, keys, *weights = inputs
    query_weight, energy, gates = zip(weights[::2], weights[1::2], strict=True)
    return recur_attentively(words, first, places, keys, query_weight, energy, gates)


def word_by_word(*inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 4 to 6 and 13 of Xu et al. 2015, with tanh, and an LSTM."""
    words, hidden, places, keys, query_weight, query_bias, energy, energy_bias, gates, gates_bias = inputs
    cell, outputs, attention = torch.zeros_like(hidden), [], []
    for word in words:
        query, gate = linear(hidden, query_weight, query_bias).split((A, 1), dim=1)
        energies = linear(((keys + query[:, None]) / 2).tanh(), energy / 2, energy_bias)  # (N, P, 1)
        weights_of_places = energies.squeeze(2).softmax(1)
        context = gate.sigmoid() * (weights_of_places[:, :, None] * places).sum(1)
        input_gate, forget_gate, candidate, output_gate = linear(
            torch.cat((word, context, hidden), dim=1), gates, gates_bias
        ).chunk(4, 1)
        cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * candidate.tanh()
        hidden = output_gate.sigmoid() * cell.tanh()
        outputs.append(torch.cat((hidden, context), dim=1))
        attention.append(weights_of_places)
    return torch.stack(outputs), torch.stack(attention, dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_that_of_torch_word_by_word(dtype: torch.dtype) -> None:
    inputs = draw(dtype)
    factors = [torch.randn(shape, dtype=dtype) for shape in ((T, N, H + M), (N, T, P))]
    results: list[Any] = []
    for recur in (fused, word_by_word):
        outputs = recur(*inputs)
        results.append((*outputs, *torch.autograd.grad(outputs, inputs, factors)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCES[dtype])


def test_gradients_are_differences() -> None:
    assert torch.autograd.gradcheck(fused, draw(torch.float64))


def test_gradients_can_be_asked_for_twice_and_for_places_alone() -> None:
    words, first, places, *others = draw(torch.float64)
    outputs, _ = fused(words, first, places, *others)
    whole = [torch.autograd.grad(outputs.sum(), places, retain_graph=True)[0] for _ in range(2)]
    outputs, _ = fused(words.detach(), first.detach(), places, *(x.detach() for x in others))
    alone = torch.autograd.grad(outputs.sum(), places)[0]
    assert torch.equal(whole[0], whole[1])
    assert torch.equal(whole[0], alone)


def test_keys_and_queries_far_from_zero_leave_numbers() -> None:
    words, first, places, keys, *others = draw(torch.float32)
    for scale in (1e3, -1e30):
        outputs = fused(words, first, places, scale * keys, *others)
        gradients = torch.autograd.grad(outputs[0].sum() + outputs[1][..., 0].sum(), [places, keys, *others])
        assert all(x.isfinite().all() for x in (*outputs, *gradients))

"""The learning rate and what decays."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recap.training.optimizer import learning_rate_at, make_optimizer
from recap.training.seeds import derive_seed


@given(warmup=st.integers(0, 20), total=st.integers(1, 60))
def test_the_rate_rises_to_its_peak_and_falls_towards_zero(warmup: int, total: int) -> None:
    rates = [learning_rate_at(step, 0.3, warmup, total) for step in range(total)]
    assert all(0 < rate <= 0.3 for rate in rates)
    rising, falling = rates[:warmup], rates[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    if falling:
        assert falling[0] == 0.3
    constant = [learning_rate_at(step, 0.3, warmup, total, "constant") for step in range(total)]
    assert constant == rising + [0.3] * len(falling)


def test_only_matrices_decay() -> None:
    model = nn.Linear(2, 2)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    optimizer = make_optimizer(model, weight_decay=0.5)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    for value in model.parameters():
        value.grad = torch.zeros_like(value)
    optimizer.step()
    assert model.weight.detach().numpy() == pytest.approx(0.95)
    assert model.bias.detach().numpy() == pytest.approx(1.0)


def test_purposes_moments_and_processes_have_their_own_seeds() -> None:
    seeds = {
        derive_seed(seed, purpose, moment, rank)
        for seed in range(3)
        for purpose in ("order", "dropout")
        for moment in range(50)
        for rank in range(2)
    }
    assert len(seeds) == 600
    assert all(0 <= seed < 2**63 for seed in seeds)

"""The exponential moving average of a decoder's weights over the steps (Polyak and Juditsky 1992)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_average(average: dict[str, Tensor], model: nn.Module, decay: float, steps: int) -> None:
    """Move the average towards the weights after a step: average = d average + (1 - d) weights.

    d is ``decay``, at first less, (1 + steps) / (10 + steps), so that the initial weights are soon forgotten.
    An empty average is filled with the weights.
    """
    parameters = dict(model.named_parameters())
    if not average:
        average.update({name: value.detach().clone() for name, value in parameters.items()})
    weight = 1 - min(decay, (1 + steps) / (10 + steps))
    torch._foreach_lerp_([average[name] for name in parameters], list(parameters.values()), weight)


@contextmanager
def averaged(average: dict[str, Tensor], model: nn.Module) -> Iterator[None]:
    """Give the model the averaged weights within the context; with an empty average, its own."""
    own = {name: value.detach().clone() for name, value in model.named_parameters()} if average else {}
    _assign(model, average)
    try:
        yield
    finally:
        _assign(model, own)


@torch.no_grad()
def _assign(model: nn.Module, weights: dict[str, Tensor]) -> None:
    for name, value in weights.items():
        model.get_parameter(name).copy_(value)

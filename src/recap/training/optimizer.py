"""AdamW and its learning rate."""

import math

import torch
from torch import nn


def make_optimizer(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """Make a fused AdamW (Loshchilov and Hutter 2019); only matrices decay, biases and norms do not.

    Its learning rate is 0 until it is set.
    """
    parameters = list(model.parameters())
    groups = [
        {"params": [value for value in parameters if value.dim() >= 2], "weight_decay": weight_decay},
        {"params": [value for value in parameters if value.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def learning_rate_at(
    step: int, peak: float, warmup_steps: int, total_steps: int, schedule: str = "cosine"
) -> float:
    """Return the rate of a step: linear warm-up to ``peak``, then a cosine to 0, or "constant".

    >>> [round(learning_rate_at(step, 1.0, 2, 6), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule == "constant":
        return peak
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))

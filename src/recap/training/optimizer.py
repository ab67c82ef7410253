"""AdamW and its learning rate."""

import math

import torch
from torch import Tensor, nn


def make_optimizer(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """Make a fused AdamW (Loshchilov and Hutter 2019); only matrices decay, biases and norms do not.

    Its learning rate is 0 until it is set; on a GPU it lies there, so that a CUDA graph can read it.
    """
    parameters = list(model.parameters())
    on_gpu = parameters[0].is_cuda
    rate = torch.zeros((), device=parameters[0].device) if on_gpu else 0.0
    groups = [
        {"params": [value for value in parameters if value.dim() >= 2], "weight_decay": weight_decay},
        {"params": [value for value in parameters if value.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, fused=True, capturable=on_gpu)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


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

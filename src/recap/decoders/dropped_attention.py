"""Causal attention with dropout of its weights, for the CPU: torch's fused kernel there knows no dropout.

Shapes: N batch, T time, A attention heads, W width of the model.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """softmax(queries keys^T / sqrt(W / A)) times ``mask``, times values; a word sees none that follow it.

    Heads are taken in turn, as they lie in the projections, so that nothing is copied to line them up.

    Args:
        queries: (N, A, T, W / A).
        keys: (N, A, T, W / A).
        values: (N, A, T, W / A).
        mask: (A, N, T, T), what the attention weights are multiplied by.

    Returns:
        (N, T, A, W / A).
    """
    attended: Tensor = _DroppedAttention.apply(queries, keys, values, mask)
    return attended


class _DroppedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        steps = queries.shape[2]
        later = queries.new_full((steps, steps), float("-inf")).triu_(1)
        scores = [
            torch.baddbmm(later, query, key.mT, alpha=_scale(queries))
            for query, key in zip(queries.unbind(1), keys.unbind(1), strict=True)
        ]
        weights = torch.stack(scores).softmax(dim=3)  # (A, N, T, T)
        ctx.save_for_backward(queries, keys, values, mask, weights)
        attended = [own @ value for own, value in zip(weights * mask, values.unbind(1), strict=True)]
        return torch.stack(attended, dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        queries, keys, values, mask, weights = ctx.saved_tensors
        gradients = gradient.unbind(2)  # A of (N, T, W / A)
        of_weights = torch.stack(
            [own @ value.mT for own, value in zip(gradients, values.unbind(1), strict=True)]
        ).mul_(mask)
        of_values = [own.mT @ above for own, above in zip(weights * mask, gradients, strict=True)]
        of_scores = torch._softmax_backward_data(of_weights, weights, 3, weights.dtype).mul_(_scale(queries))
        of_queries = [own @ key for own, key in zip(of_scores, keys.unbind(1), strict=True)]
        of_keys = [own.mT @ query for own, query in zip(of_scores, queries.unbind(1), strict=True)]
        return (
            torch.stack(of_queries, dim=2).transpose(1, 2),
            torch.stack(of_keys, dim=2).transpose(1, 2),
            torch.stack(of_values, dim=2).transpose(1, 2),
            None,
        )


def _scale(queries: Tensor) -> float:
    return float(queries.shape[3] ** -0.5)

"""Causal attention with dropout of its weights.

torch's fused kernel has none on a CPU; on a GPU its backward in a fixed order takes longer for words as few.

Shapes: N batch, T time, A attention heads, W width of the model.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def attend(projected: Tensor, mask: Tensor) -> Tensor:
    """Return softmax(queries keys^T / sqrt(W / A)) times ``mask``, times values, under a causal mask.

    Heads are taken in turn, as they lie in the projection: queries, keys and values (N, T, 3, A, W / A). The
    mask (A, N, T, T) multiplies the attention weights. Returns (N, T, A, W / A).
    """
    return _DroppedAttention.apply(projected, mask)


class _DroppedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, mask: Tensor) -> Tensor:
        steps = projected.shape[1]
        later = projected.new_full((steps, steps), float("-inf")).triu_(1)
        queries, keys, values = _heads(projected)
        scores = [
            torch.baddbmm(later, query, key.mT, alpha=_scale(projected))
            for query, key in zip(queries, keys, strict=True)
        ]
        weights = torch.stack(scores).softmax(dim=3).to(projected.dtype)  # (A, N, T, T)
        ctx.save_for_backward(projected, mask, weights)
        attended = [own @ value for own, value in zip(weights * mask, values, strict=True)]
        return torch.stack(attended, dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        projected, mask, weights = ctx.saved_tensors
        queries, keys, values = _heads(projected)
        gradients = gradient.unbind(2)  # A of (N, T, W / A)
        of_weights = torch.stack([own @ value.mT for own, value in zip(gradients, values, strict=True)])
        of_weights.mul_(mask)
        of_values = [own.mT @ above for own, above in zip(weights * mask, gradients, strict=True)]
        of_scores = torch._softmax_backward_data(of_weights, weights, 3, weights.dtype)
        of_scores.mul_(_scale(projected))
        of_queries = [own @ key for own, key in zip(of_scores, keys, strict=True)]
        of_keys = [own.mT @ query for own, query in zip(of_scores, queries, strict=True)]
        return torch.stack([*of_queries, *of_keys, *of_values], dim=2).view_as(projected), None


def _heads(projected: Tensor) -> list[tuple[Tensor, ...]]:
    """Split into queries, keys and values, each A of (N, T, W / A)."""
    return [part.unbind(2) for part in projected.unbind(2)]


def _scale(projected: Tensor) -> float:
    return float(projected.shape[4] ** -0.5)

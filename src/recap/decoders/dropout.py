"""Dropout whose mask costs a fifth of nn.Dropout's on the CPU."""

from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 1 << 16  # a mask entry is drawn from 16 random bits


class Dropout(nn.Module):
    """Zero a share of the entries and scale the rest, so that the expectation stays (Srivastava et al. 2014).

    Draws from torch's default generator, as nn.Dropout does; four entries share one draw of 64 bits.
    The share is rounded to a multiple of 1/65536.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Any shape in, the same shape out; unchanged in eval mode."""
        return x * self.mask(x) if self.active() else x

    def relu(self, x: Tensor) -> Tensor:
        """Dropout of max(x, 0), which keeps no more for its backward than a ReLU does."""
        if not self.active():
            return nn.functional.relu(x)
        dropped: Tensor = _DroppedRelu.apply(x, self.mask(x), self._scale())
        return dropped

    def active(self) -> bool:
        """Whether anything is dropped."""
        return self.training and self.share > 0

    def mask(self, x: Tensor) -> Tensor:
        """0 where an entry of ``x`` is dropped, else the factor that keeps the expectation; shape of x."""
        if x.device.type != "cpu":
            return nn.functional.dropout(torch.ones_like(x), self.share)
        dropped = round(self.share * LEVELS)
        draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
        bits = draws.view(torch.int16)[: x.numel()]  # uniform in -LEVELS/2 .. LEVELS/2 - 1
        kept = (bits >= dropped - LEVELS // 2).view(x.shape)
        return kept.to(x.dtype).mul_(self._scale())

    def _scale(self) -> float:
        return LEVELS / (LEVELS - round(self.share * LEVELS))

    def extra_repr(self) -> str:
        return f"share={self.share}"


class _DroppedRelu(torch.autograd.Function):
    """max(x, 0) times a mask of 0 and ``scale``: where the result is positive, its slope is ``scale``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        result = x.relu().mul_(mask)
        ctx.save_for_backward(result)
        ctx.scale = scale
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (result,) = ctx.saved_tensors
        slope: Tensor = torch.ops.aten.threshold_backward(gradients[0], result, 0)
        return slope.mul_(ctx.scale), None, None

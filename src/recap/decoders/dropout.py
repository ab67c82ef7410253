"""Dropout whose mask costs a tenth of nn.Dropout's on the CPU."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 256  # a mask entry is drawn from 8 random bits


class Dropout(nn.Module):
    """Zero entries with a probability, scale the rest: the expectation stays (Srivastava et al. 2014).

    Like nn.Dropout it draws from torch's default generator: on the CPU one seed for numpy's fastest
    generator, SFC64, whose draws of 64 bits serve eight entries each. A mask drops a multiple of 1/256 of
    the entries; the two multiples next to the probability are chosen at random so that each entry is
    dropped with exactly it.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries of x; the shape stays, and in eval mode x stays as it is."""
        if x.is_cuda:
            return nn.functional.dropout(x, self.probability, self.training)
        return x * self.mask(x) if self.active() else x

    def relu(self, x: Tensor) -> Tensor:
        """Return dropout of max(x, 0), which on the CPU stores no more for its backward than a ReLU does."""
        if x.is_cuda or not self.active():
            return self(nn.functional.relu(x))
        return _DroppedRelu.apply(x, self.mask(x), self._scale())

    def active(self) -> bool:
        """Return whether anything is dropped."""
        return self.training and self.probability > 0

    def mask(self, x: Tensor) -> Tensor:
        """Return 0 where an entry of ``x`` is dropped, else the factor that keeps the expectation."""
        if x.device.type != "cpu":
            return nn.functional.dropout(torch.ones_like(x), self.probability)
        return _kept(x, self.probability).to(x.dtype).mul_(self._scale())

    def _scale(self) -> float:
        return 1 / (1 - self.probability)


def _kept(x: Tensor, probability: float) -> Tensor:
    """Return uint8 of the shape of ``x``: 0 where an entry is dropped, else 1."""
    generator = np.random.SFC64(int(torch.empty((), dtype=torch.int64).random_()))
    dropped = int(probability * LEVELS + generator.random_raw() / 2**64)
    draws = generator.random_raw((x.numel() + 7) // 8)
    # torch compares bytes, and converts bool to float, several times slower
    kept = np.greater_equal(draws.view(np.uint8)[: x.numel()], dropped)
    return torch.from_numpy(kept.view(np.uint8)).view(x.shape)


class _DroppedRelu(torch.autograd.Function):
    """max(x, 0) times a mask of 0 and ``scale``: where the result is positive, its slope is ``scale``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        result = mask.mul_(x).relu_()
        ctx.mark_dirty(mask)
        ctx.save_for_backward(result)
        ctx.scale = scale
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (result,) = ctx.saved_tensors
        slope: Tensor = torch.ops.aten.threshold_backward(gradients[0], result, 0)
        return slope.mul_(ctx.scale), None, None

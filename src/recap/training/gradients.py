"""The steps of a training; on a GPU as CUDA graphs, which launch hundreds of kernels at once.

Shapes: N batch, L steps of an encoded caption, D feature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.decoders.decoder import Decoder, target_positions
from recap.text.batches import CaptionedFeatures
from recap.training.config import TrainConfig

MEMORY_FRACTION = 0.5  # of a GPU's free memory, for a copy of the data


@dataclass(frozen=True)
class _Graph:
    """A recorded step: it reads ``inputs`` and writes ``results`` and ``gradients``."""

    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    results: Sequence[Tensor]
    gradients: Sequence[Tensor | None]


class Backpropagation:
    """Computes gradients of a loss, and updates; on a GPU it keeps the data there, and a graph a shape.

    Args:
        decoder: gets the gradients.
        data: captions to learn.
        config: of which label smoothing and precision count.
        update: called when the gradients are there; a graph records it too, and its result.
    """

    def __init__(
        self,
        decoder: Decoder,
        data: CaptionedFeatures,
        config: TrainConfig,
        update: Callable[[], Tensor] | None = None,
    ) -> None:
        self._decoder = decoder
        self._data = data
        self._smoothing = config.label_smoothing
        self._half = config.precision == "bfloat16"
        self._update = update
        self._weight = next(decoder.parameters())
        self._lengths = data.lengths()
        self._graphs: dict[tuple[int, int], _Graph | None] = {}
        self._copies: tuple[Tensor, Tensor, Tensor] | None = None
        if self._weight.is_cuda:
            self._pool = torch.cuda.graph_pool_handle()
            free, _ = torch.cuda.mem_get_info()
            if data.features.nbytes + 2 * data.captions.nbytes < free * MEMORY_FRACTION:
                # a copy of features that are mapped from a file, as torch wants writable memory
                features = torch.from_numpy(np.array(data.features))
                captions = torch.from_numpy(data.captions.astype(np.int64))
                rows = torch.from_numpy(data.image_rows.astype(np.int64))
                device = self._weight.device
                self._copies = features.to(self._weight), captions.to(device), rows.to(device)

    def __call__(self, rows: NDArray[np.int64], factor: float = 1.0) -> Sequence[Tensor]:
        """Leave the gradients of a batch's loss in the decoder's parameters, and call ``update``.

        A graph is recorded when a shape comes for the second time, for captions of one length: none of their
        targets is <NULL>, so that nothing in it depends on the words.

        Args:
            rows: (N,) the captions.
            factor: of the loss.

        Returns:
            The loss, times the factor; and what ``update`` returned.
        """
        lengths = self._lengths[rows]
        shape = (len(rows), int(lengths.max()))
        inputs = self._inputs(rows)
        if self._weight.is_cuda and factor == 1 and lengths.min() == shape[1]:
            if shape in self._graphs:
                return self._replay(shape, inputs)
            self._graphs[shape] = None
        targets = torch.from_numpy(self._data.captions[rows, : shape[1]])
        return self._step(inputs, shape[1], move(target_positions(targets), self._weight), factor)

    def _inputs(self, rows: NDArray[np.int64]) -> Sequence[Tensor]:
        """Return the rows, where the data are on the device, else features and captions."""
        parts = self._data.batch(rows) if self._copies is None else (torch.from_numpy(rows),)
        return [move(part, self._weight) for part in parts]

    def _step(
        self, inputs: Sequence[Tensor], longest: int, positions: Tensor, factor: float = 1.0
    ) -> Sequence[Tensor]:
        if self._copies is None:
            features, captions = inputs
        else:
            (rows,), (features, captions, image_rows) = inputs, self._copies
            features, captions = features[image_rows[rows]], captions[rows, :longest]
        for parameter in self._decoder.parameters():
            parameter.grad = None
        with torch.autocast(self._weight.device.type, torch.bfloat16, enabled=self._half):
            loss = self._decoder.loss(features, captions, smoothing=self._smoothing, positions=positions)
        loss = loss * factor if factor != 1 else loss
        loss.backward()
        return (loss.detach(), self._update()) if self._update else (loss.detach(),)

    def _replay(self, shape: tuple[int, int], inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        recorded = self._graphs[shape]
        if recorded is None:
            recorded = self._graphs[shape] = self._record(shape, [part.clone() for part in inputs])
        for own, part in zip(recorded.inputs, inputs, strict=True):
            own.copy_(part)
        recorded.graph.replay()
        for parameter, gradient in zip(self._decoder.parameters(), recorded.gradients, strict=True):
            parameter.grad = gradient
        return [result.clone() for result in recorded.results]  # the next replay writes to them

    def _record(self, shape: tuple[int, int], inputs: Sequence[Tensor]) -> _Graph:
        graph, (count, steps) = torch.cuda.CUDAGraph(), shape
        positions = torch.arange(count * (steps - 1), device=self._weight.device)
        with torch.cuda.graph(graph, pool=self._pool):
            results = self._step(inputs, steps, positions)
        return _Graph(graph, inputs, results, [parameter.grad for parameter in self._decoder.parameters()])


def move(part: Tensor, weight: Tensor) -> Tensor:
    """Move to the device of a weight, and floats to its dtype; a GPU copies while the CPU goes on."""
    if weight.is_cuda:
        part = part.pin_memory()
    return part.to(weight.device, weight.dtype if part.is_floating_point() else part.dtype, non_blocking=True)

"""The gradients of a step; on a GPU as CUDA graphs, which launch hundreds of kernels at once.

Shapes: N batch, L steps of an encoded caption, D feature.
"""

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
    """A recorded pass: it reads ``features`` and ``captions`` and writes ``loss`` and ``gradients``."""

    graph: torch.cuda.CUDAGraph
    features: Tensor
    captions: Tensor
    loss: Tensor
    gradients: list[Tensor | None]


class Backpropagation:
    """Computes gradients of a decoder's loss; on a GPU it keeps the data there, and a graph a shape."""

    def __init__(self, decoder: Decoder, data: CaptionedFeatures, config: TrainConfig) -> None:
        self._decoder = decoder
        self._data = data
        self._smoothing = config.label_smoothing
        self._half = config.precision == "bfloat16"
        self._weight = next(decoder.parameters())
        self._lengths = data.lengths()
        self._graphs: dict[tuple[int, int], _Graph | None] = {}
        self._copies: tuple[Tensor, Tensor] | None = None
        if self._weight.is_cuda:
            self._pool = torch.cuda.graph_pool_handle()
            free, _ = torch.cuda.mem_get_info()
            if data.features.nbytes + 2 * data.captions.nbytes < free * MEMORY_FRACTION:
                # a copy of features that are mapped from a file, as torch wants writable memory
                features = torch.from_numpy(np.array(data.features))
                captions = torch.from_numpy(data.captions.astype(np.int64))
                self._copies = features.to(self._weight), captions.to(self._weight.device)

    def __call__(self, rows: NDArray[np.int64], factor: float = 1.0) -> Tensor:
        """Leave the gradients of a batch's loss in the decoder's parameters.

        A graph is recorded when a shape comes for the second time, for captions of one length: none of their
        targets is <NULL>, so that nothing in it depends on the words.

        Args:
            rows: (N,) the captions.
            factor: of the loss.

        Returns:
            The loss, times the factor.
        """
        lengths = self._lengths[rows]
        shape = (len(rows), int(lengths.max()))
        features, captions = self._batch(rows, shape[1])
        if self._weight.is_cuda and factor == 1 and lengths.min() == shape[1]:
            if shape in self._graphs:
                return self._replay(shape, features, captions)
            self._graphs[shape] = None
        positions = move(
            target_positions(torch.from_numpy(self._data.captions[rows, : shape[1]])), self._weight
        )
        loss = self._loss(features, captions, positions)
        loss = loss * factor if factor != 1 else loss
        loss.backward()
        return loss.detach()

    def _batch(self, rows: NDArray[np.int64], longest: int) -> tuple[Tensor, Tensor]:
        if self._copies is None:
            features, captions = self._data.batch(rows)
            return move(features, self._weight), move(captions, self._weight)
        features, captions = self._copies
        images = move(torch.from_numpy(self._data.image_rows[rows].astype(np.int64)), self._weight)
        return features[images], captions[move(torch.from_numpy(rows), self._weight), :longest]

    def _loss(self, features: Tensor, captions: Tensor, positions: Tensor) -> Tensor:
        with torch.autocast(self._weight.device.type, torch.bfloat16, enabled=self._half):
            return self._decoder.loss(features, captions, smoothing=self._smoothing, positions=positions)

    def _replay(self, shape: tuple[int, int], features: Tensor, captions: Tensor) -> Tensor:
        recorded = self._graphs[shape]
        if recorded is None:
            recorded = self._graphs[shape] = self._record(features.clone(), captions.clone())
        recorded.features.copy_(features)
        recorded.captions.copy_(captions)
        recorded.graph.replay()
        for parameter, gradient in zip(self._decoder.parameters(), recorded.gradients, strict=True):
            parameter.grad = gradient
        return recorded.loss.clone()  # the next replay writes to it

    def _record(self, features: Tensor, captions: Tensor) -> _Graph:
        graph, parameters = torch.cuda.CUDAGraph(), list(self._decoder.parameters())
        positions = torch.arange(captions[:, 1:].numel(), device=captions.device)
        for parameter in parameters:
            parameter.grad = None
        with torch.cuda.graph(graph, pool=self._pool):
            loss = self._loss(features, captions, positions)
            loss.backward()
        return _Graph(graph, features, captions, loss.detach(), [parameter.grad for parameter in parameters])


def move(part: Tensor, weight: Tensor) -> Tensor:
    """Move to the device of a weight, and floats to its dtype; a GPU copies while the CPU goes on."""
    if weight.is_cuda:
        part = part.pin_memory()
    return part.to(weight.device, weight.dtype if part.is_floating_point() else part.dtype, non_blocking=True)

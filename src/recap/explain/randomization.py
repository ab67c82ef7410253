"""The sanity check of saliency: a map that stays when weights are randomised does not explain the network.

Source: Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv:1810.03292 (cascading randomization).
Shapes: N images, H and W height and width in pixels.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from recap.backbones.backbone import Backbone, OneHead
from recap.explain.attributions import attribution_methods


@dataclass(frozen=True)
class Randomized:
    """Maps of a method while more and more layers are randomised, from the logits down."""

    maps: list[NDArray[np.float32]]  # (N, H, W) for each fraction of the layers
    correlations: list[float]  # Spearman's rank correlation with fraction 0, mean over images


def randomization_check(
    backbone: Backbone, head: str, x: Tensor, targets: Tensor, fractions: Sequence[float], seed: int
) -> dict[str, Randomized]:
    """Compute every method's maps on the trained network and on networks with shuffled layers, by its name.

    Args:
        backbone: in evaluation mode; it stays as it is.
        head: whose class scores are explained.
        x: (N, 3, H, W) float32, preprocessed.
        targets: (N,) int64, classes of the head.
        fractions: of the layers, ascending from 0.
        seed: of the shuffling.
    """
    maps: dict[str, list[NDArray[np.float32]]] = {}
    for fraction in fractions:
        network = randomized(backbone, fraction, seed)
        model = OneHead(network, head)
        for name, method in attribution_methods(network.last_maps).items():
            maps.setdefault(name, []).append(method(x, targets, model).cpu().numpy())
    return {
        name: Randomized(series, [mean_rank_correlation(series[0], other) for other in series])
        for name, series in maps.items()
    }


def randomized(backbone: Backbone, fraction: float, seed: int) -> Backbone:
    """Return a copy in which a part of the layers, counted from the logits down, has its weights shuffled.

    Shuffling keeps the values of each tensor, and so the scale of activations.
    """
    network = copy.deepcopy(backbone)
    layers = [
        module for module in network.modules() if next(module.parameters(recurse=False), None) is not None
    ]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers[len(layers) - round(fraction * len(layers)) :][::-1]:
            for weight in layer.parameters(recurse=False):
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.flatten()[order].view_as(weight))  # (weights,) -> the weight's shape
    return network.eval()


def mean_rank_correlation(maps: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """Return Spearman's rank correlation of two maps (N, H, W), mean over images; a flat map gives 0."""
    correlations = []
    for one, other in zip(maps, others, strict=True):
        ranks = [rankdata(values.ravel()) for values in (one, other)]
        flat = any(np.ptp(values) == 0 for values in ranks)
        correlations.append(0.0 if flat else float(np.corrcoef(ranks)[0, 1]))
    return float(np.mean(correlations))

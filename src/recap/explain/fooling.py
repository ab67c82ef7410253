"""Fooling images: a change that is hardly visible, and the classifier answers another class.

Source: Szegedy et al. 2014, "Intriguing properties of neural networks", arXiv:1312.6199; the steps are
those of CS231n's network visualization. Shapes: N batch, H and W height and width in pixels, C classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from recap.explain.class_scores import model_logits, score_gradients

LEARNING_RATE = 1.0
MAX_ITERATIONS = 100


class Fooled(NamedTuple):
    """A changed batch of images."""

    images: Tensor  # (N, 3, H, W) float32, normalised
    succeeded: Tensor  # (N,) bool, whether the target is the top class
    iterations: Tensor  # (N,) int64, the steps made


def make_fooling_image(X: Tensor, target_y: int, model: nn.Module) -> Tensor:
    """Change an image (1, 3, H, W) until a model answers class ``target_y``; errors are those of ``fool``."""
    targets = torch.full((len(X),), target_y, dtype=torch.int64)
    return fool(X, targets, model, LEARNING_RATE, MAX_ITERATIONS).images


def fool(
    images: Tensor, targets: Tensor, model: nn.Module, learning_rate: float, max_iterations: int
) -> Fooled:
    """Change each image of a batch until the model answers its target class.

    A step adds learning_rate * g / ||g||_2, where g is d score_target / d image. An image stays as it is
    once it fools the model, and when it has no gradient.

    Args:
        images: (N, 3, H, W) float32, preprocessed for the model; they stay as they are.
        targets: (N,) int64, the classes to reach.
        model: a classifier in evaluation mode.
        learning_rate: length of a step, in normalised units.
        max_iterations: steps at most.

    Raises:
        InputError: as for ``score_gradients``.
    """
    changed = images.detach().clone()
    targets = targets.to(images.device)
    iterations = torch.zeros_like(targets)
    active = torch.arange(len(images), device=images.device)  # rows still to change
    for _ in range(max_iterations):
        gradients, logits = score_gradients(model, changed[active], targets[active])
        length = gradients.flatten(1).norm(dim=1)  # (rows,)
        moving = (logits.argmax(dim=1) != targets[active]) & (length > 0)
        active = active[moving]
        if not len(active):
            break
        changed[active] += learning_rate * gradients[moving] / length[moving].view(-1, 1, 1, 1)
        iterations[active] += 1
    with torch.no_grad():
        succeeded = model_logits(model, changed).argmax(dim=1) == targets
    return Fooled(changed, succeeded, iterations)

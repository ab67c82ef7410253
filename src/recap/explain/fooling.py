"""Fooling images: a change that is hardly seen, and the classifier says something else.

Source: Szegedy et al. 2014, "Intriguing properties of neural networks", arXiv:1312.6199; the steps are
those of CS231n's network visualization. Shapes: N batch, H and W height and width in pixels, C classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recap.explain.class_scores import model_logits, score_gradients

LEARNING_RATE = 1.0
MAX_ITERATIONS = 100


@dataclass(frozen=True)
class Fooled:
    """What became of a batch of images.

    ``images`` (N, 3, H, W) float32, normalised; ``succeeded`` (N,) bool, whether the target is the top class;
    ``iterations`` (N,) int64, the steps made.
    """

    images: Tensor
    succeeded: Tensor
    iterations: Tensor


def make_fooling_image(X: Tensor, target_y: int, model: nn.Module) -> Tensor:
    """Change an image until a model takes it for class ``target_y``, or 100 steps are made.

    Args:
        X: (1, 3, H, W) float32, preprocessed for the model; it stays as it is.
        target_y: the class that the model shall see.
        model: a classifier in evaluation mode.

    Returns:
        (1, 3, H, W) float32.

    Raises:
        InputError: as for ``fool``.
    """
    targets = torch.full((len(X),), target_y, dtype=torch.int64)
    return fool(X, targets, model, LEARNING_RATE, MAX_ITERATIONS).images


def fool(
    images: Tensor, targets: Tensor, model: nn.Module, learning_rate: float, max_iterations: int
) -> Fooled:
    """Change each image of a batch until the model takes it for its target class.

    A step adds learning_rate * g / ||g||_2, where g is d score_target / d image. An image that fools is left
    alone from then on, as is one without gradient.

    Args:
        images: (N, 3, H, W) float32, preprocessed for the model; they stay as they are.
        targets: (N,) int64, the class that the model shall see in each.
        model: a classifier in evaluation mode.
        learning_rate: length of a step, in normalised units.
        max_iterations: steps at most.

    Raises:
        InputError: a class index out of range, images that the model cannot take, or a model without
            gradients.
    """
    changed = images.detach().clone()
    targets = targets.to(images.device)
    iterations = torch.zeros_like(targets)
    active = torch.arange(len(images), device=images.device)  # rows that do not fool yet
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

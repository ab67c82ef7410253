"""The score of a chosen class, and its gradient with respect to the image: the base of all explanations.

Shapes: N batch, H and W height and width in pixels, C classes.
"""

import torch
from torch import Tensor, nn

from recap.errors import InputError


def score_gradients(model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return d score / d image of each image's target class; the weights get no gradient.

    Args:
        model: a classifier in evaluation mode, (N, 3, H, W) -> logits (N, C).
        images: (N, 3, H, W) float32, preprocessed for the model.
        targets: (N,) int64, a class index each.

    Returns:
        The gradients (N, 3, H, W) and the logits (N, C).

    Raises:
        InputError: a class index out of range, images that the model cannot take, or no gradient.
    """
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = model_logits(model, images)
        check_targets(targets, len(images), logits.shape[1])
        if not logits.requires_grad:
            raise _without_gradients(model)
        # images do not interact in the model, so the gradient of the sum holds each image's own
        score = logits.gather(1, targets.to(logits.device).view(-1, 1)).sum()
        (gradients,) = torch.autograd.grad(score, images, allow_unused=True)
    if gradients is None:
        raise _without_gradients(model)
    return gradients, logits.detach()


def _without_gradients(model: nn.Module) -> InputError:
    name = type(model).__name__
    return InputError(f"{name}: expected a model with gradients from logits to image, received one without")


def model_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (N, C) of images (N, 3, H, W); an error of the model becomes one line.

    Raises:
        InputError: the images do not have the shape (N, 3, H, W), or the model cannot take their size.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise InputError(
            f"images: expected (N, 3, H, W) float32, received {tuple(images.shape)} {images.dtype}"
        )
    try:
        logits = model(images)
    except RuntimeError as error:
        if "out of memory" in str(error).lower():
            raise
        size = " x ".join(str(side) for side in images.shape[2:])
        reason = " ".join(str(error).split())
        raise InputError(
            f"images: expected a size that {type(model).__name__} takes, received {size}: {reason}"
        ) from None
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputError(f"{type(model).__name__}: expected logits (N, C), received another output")
    return logits


def check_targets(targets: Tensor, count: int, classes: int) -> None:
    """Check that there is one class index an image, each in 0..classes - 1.

    Raises:
        InputError: it is not so.
    """
    if targets.shape != (count,) or targets.dtype != torch.int64:
        raise InputError(
            f"targets: expected ({count},) int64, received {tuple(targets.shape)} {targets.dtype}"
        )
    outside = targets[(targets < 0) | (targets >= classes)]
    if len(outside):
        raise InputError(f"targets: expected a class index in 0..{classes - 1}, received {outside[0].item()}")

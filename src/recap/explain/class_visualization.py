"""Class visualization: an image, grown from noise, to which a classifier gives a high score for a class.

Sources: Simonyan et al. 2014, arXiv:1312.6034, section 2; blur as in Yosinski et al. 2015, arXiv:1506.06579;
jitter and all settings as in CS231n.
Shapes: N images (one a class), S side in pixels, C classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from recap.backbones.images import fit
from recap.backbones.normalisation import Normalised, denormalise, normalise, valid_range
from recap.explain.class_scores import model_logits, score_gradients
from recap.progress import track

L2_REG = 1e-3
LEARNING_RATE = 25.0
ITERATIONS = 200
MAX_JITTER = 16
BLUR_EVERY = 10
BLUR_SIGMA = 0.5
SHOW_EVERY = 25


@dataclass(frozen=True)
class ClassVisualization:
    """Images for N classes."""

    images: Tensor  # (N, 3, S, S) float32, normalised, within the valid range
    probabilities: Tensor  # (N,) that the model gives the target
    snapshots: dict[int, Tensor]  # the images after some iterations


def preprocess(image: Image.Image, size: int, model: Normalised) -> Tensor:
    """Turn the centre of an image of any size into the input of a model: (1, 3, size, size) float32."""
    pixels = torch.from_numpy(np.array(fit(image.convert("RGB"), size, size)))  # (S, S, 3)
    return normalise(pixels[None], model)


def deprocess(x: Tensor, model: Normalised) -> Image.Image:
    """Turn an input (1, 3, S, S) of a model into an RGB image."""
    return Image.fromarray(denormalise(x, model)[0].numpy())


def jitter(X: Tensor, ox: int, oy: int) -> Tensor:
    """Roll images (N, 3, S, S) by ``ox`` pixels to the right and ``oy`` down, around the edges."""
    return torch.roll(X, shifts=(oy, ox), dims=(2, 3))


def blur_image(X: Tensor, sigma: float) -> Tensor:
    """Blur images (N, 3, S, S) by a Gaussian of ``sigma`` pixels; edges are mirrored."""
    blurred = gaussian_filter(X.detach().cpu().numpy(), (0, 0, sigma, sigma))
    return torch.from_numpy(blurred).to(X.device)


def class_visualization_update_step(
    img: Tensor, model: nn.Module, target_y: int | Tensor, l2_reg: float, learning_rate: float
) -> Tensor:
    """Make one step of gradient ascent on score_y - l2_reg * ||img||_2^2, in place.

    The step is learning_rate * g / ||g||_2, for each image by itself.

    Args:
        img: (N, 3, S, S) float32, normalised; it is changed, and returned.
        model: a classifier in evaluation mode.
        target_y: a class index for all, or (N,) int64.
        l2_reg: weight of the squared norm.
        learning_rate: length of the step, in normalised units.

    Raises:
        InputError: as for ``score_gradients``.
    """
    gradients, _ = score_gradients(model, img, _targets(target_y, len(img)))
    gradients = gradients - 2 * l2_reg * img.detach()
    length = gradients.flatten(1).norm(dim=1).clamp_min(torch.finfo(img.dtype).tiny)  # (N,)
    with torch.no_grad():
        img += learning_rate * gradients / length.view(-1, 1, 1, 1)
    return img


def create_class_visualization(
    target_y: int | Tensor,
    model: nn.Module,
    normalisation: Normalised,
    size: int,
    generator: torch.Generator,
    *,
    l2_reg: float = L2_REG,
    learning_rate: float = LEARNING_RATE,
    iterations: int = ITERATIONS,
    max_jitter: int = MAX_JITTER,
    blur_every: int = BLUR_EVERY,
    show_every: int = SHOW_EVERY,
) -> ClassVisualization:
    """Grow an image for each class from noise, the same for every class, alone or in a batch.

    Args:
        target_y: a class index, or (N,) int64.
        model: a classifier in evaluation mode.
        normalisation: how its input is normalised, such as the backbone.
        size: S.
        generator: of the first noise and the jitter, on the CPU.
        l2_reg: weight of the squared norm.
        learning_rate: length of a step, in normalised units.
        iterations: steps.
        max_jitter: how far a step looks beside, in pixels, along each axis.
        blur_every, show_every: iterations between blurs, between snapshots.

    Raises:
        InputError: as for ``score_gradients``.
    """
    targets = _targets(target_y, 1 if isinstance(target_y, int) else len(target_y))
    low, high = valid_range(normalisation)
    noise = torch.randn(1, 3, size, size, generator=generator)
    images = noise.to(low.device).repeat(len(targets), 1, 1, 1)  # (N, 3, S, S)
    snapshots: dict[int, Tensor] = {}
    for step in track(range(iterations), "class visualization"):
        ox, oy = torch.randint(0, max(max_jitter, 1), (2,), generator=generator).tolist()
        images = jitter(images, ox, oy)
        class_visualization_update_step(images, model, targets, l2_reg, learning_rate)
        images = jitter(images, -ox, -oy).clamp(low, high)
        if step % blur_every == 0:
            images = blur_image(images, BLUR_SIGMA)
        if (step + 1) % show_every == 0:
            snapshots[step + 1] = images.clone()
    return ClassVisualization(images, target_probabilities(model, images, targets), snapshots)


@torch.no_grad()
def target_probabilities(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Return the probability (N,) of the target class (N,) of each image (N, 3, S, S)."""
    probabilities = model_logits(model, images).softmax(dim=1)  # (N, C)
    return probabilities.gather(1, targets.to(images.device).view(-1, 1)).squeeze(1)


def _targets(target_y: int | Tensor, count: int) -> Tensor:
    return torch.full((count,), target_y, dtype=torch.int64) if isinstance(target_y, int) else target_y

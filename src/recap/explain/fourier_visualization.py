"""Class visualization with the image as a spectrum: coordinates that treat all scales alike.

Source: Olah, Mordvintsev, Schubert 2017, "Feature visualization", Distill, doi:10.23915/distill.00007
("preconditioning and parameterization"), with the colour statistics of ImageNet that its code uses.
Shapes: N images (one a class), S side in pixels, F frequencies along the last axis (S // 2 + 1).
"""

import torch
from torch import Tensor, nn

from recap.backbones.normalisation import Normalised, valid_range
from recap.explain.class_scores import check_targets, model_logits
from recap.explain.class_visualization import ClassVisualization, jitter, target_probabilities
from recap.progress import track

LEARNING_RATE = 0.05
ITERATIONS = 200
MAX_JITTER = 16
SHOW_EVERY = 25
FIRST_NOISE = 0.1  # from a flatter first image a small network may have no gradient at all

# Square root of the covariance of the colours of natural images: the first direction is brightness, the
# others are colour contrasts, which vary less.
COLOUR_DIRECTIONS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


def create_fourier_visualization(
    targets: Tensor,
    model: nn.Module,
    normalisation: Normalised,
    size: int,
    generator: torch.Generator,
    *,
    iterations: int = ITERATIONS,
    max_jitter: int = MAX_JITTER,
    show_every: int = SHOW_EVERY,
) -> ClassVisualization:
    """Grow an image for each class as a spectrum whose amplitudes are divided by their frequency.

    Adam climbs the target's logit; a sigmoid keeps pixels within range, so nothing is clamped or blurred.
    Arguments and errors are those of ``create_class_visualization``, but ``targets`` is (N,) int64.
    """
    device = normalisation.mean.device
    noise = torch.randn(1, 3, size, size // 2 + 1, 2, generator=generator) * FIRST_NOISE
    spectrum = noise.to(device).repeat(len(targets), 1, 1, 1, 1).requires_grad_()  # (N, 3, S, F, 2)
    scale = _scale(size).to(device)
    directions = torch.tensor(COLOUR_DIRECTIONS, device=device)
    low, high = valid_range(normalisation)
    optimizer = torch.optim.Adam([spectrum], lr=LEARNING_RATE)
    snapshots: dict[int, Tensor] = {}

    def image() -> Tensor:
        planes = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(size, size), norm="ortho")
        planes = torch.einsum("rc,nchw->nrhw", directions / directions.norm(dim=0).max(), planes)
        return low + (high - low) * torch.sigmoid(planes)  # (N, 3, S, S)

    for step in track(range(iterations), "Fourier visualization"):
        ox, oy = torch.randint(0, max(max_jitter, 1), (2,), generator=generator).tolist()
        logits = model_logits(model, jitter(image(), ox, oy))  # (N, C)
        check_targets(targets, len(logits), logits.shape[1])
        score = logits.gather(1, targets.to(device).view(-1, 1)).sum()
        optimizer.zero_grad()
        (spectrum.grad,) = torch.autograd.grad(-score, spectrum)
        optimizer.step()
        if (step + 1) % show_every == 0:
            snapshots[step + 1] = image().detach()
    images = image().detach()
    return ClassVisualization(images, target_probabilities(model, images, targets), snapshots)


def _scale(size: int) -> Tensor:
    """Return 1 / frequency (S, F), in cycles an image, the constant term as the lowest."""
    rows = torch.fft.fftfreq(size)[:, None]
    columns = torch.fft.rfftfreq(size)[None, :]
    frequency = (rows**2 + columns**2).sqrt().clamp_min(1 / size)  # (S, F)
    return 1 / frequency / size**0.5

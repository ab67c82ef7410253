"""Three maps that are less noisy than the plain gradient, computed by captum.

Sources: integrated gradients, Sundararajan et al. 2017, arXiv:1703.01365; SmoothGrad, Smilkov et al. 2017,
arXiv:1706.03825; Grad-CAM, Selvaraju et al. 2017, arXiv:1610.02391.
Shapes: N batch, H and W height and width in pixels, C classes.
"""

from collections.abc import Callable

import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, NoiseTunnel, Saliency
from torch import Tensor, nn

from recap.explain.class_scores import check_targets, model_logits
from recap.explain.saliency import compute_saliency_maps

Method = Callable[[Tensor, Tensor, nn.Module], Tensor]
"""Images (N, 3, H, W), classes (N,) int64 and a model -> maps (N, H, W), not negative."""

INTEGRATION_STEPS = 24
NOISE_SAMPLES = 16
NOISE_LEVEL = 0.15
"""Standard deviation of SmoothGrad's noise, as a fraction of the batch's range."""


def integrated_gradients(x: Tensor, y: Tensor, model: nn.Module) -> Tensor:
    """Return |sum over colours of (x - baseline) * mean gradient on the way from the baseline to x|.

    The baseline is each image's own mean colour.

    Args:
        x: (N, 3, H, W) float32, preprocessed.
        y: (N,) int64, the class of each.
        model: a classifier in evaluation mode.

    Returns:
        (N, H, W) float32, not negative.

    Raises:
        InputError: a class index out of range, or images that the model cannot take.
    """
    _check(x, y, model)
    baseline = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    attributions = IntegratedGradients(model).attribute(
        x, baseline, target=y, n_steps=INTEGRATION_STEPS, internal_batch_size=max(64, len(x))
    )
    return attributions.detach().sum(dim=1).abs()


def smooth_gradients(x: Tensor, y: Tensor, model: nn.Module) -> Tensor:
    """Return |mean gradient over noisy copies of an image|, maximum over colours: (N, H, W), not negative.

    Arguments and errors are those of ``integrated_gradients``.
    """
    _check(x, y, model)
    deviation = NOISE_LEVEL * float(x.max() - x.min())
    # captum draws the noise from the global generator, whose state is restored
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gradients = NoiseTunnel(Saliency(model)).attribute(
            x.detach().requires_grad_(),
            nt_type="smoothgrad",
            nt_samples=NOISE_SAMPLES,
            nt_samples_batch_size=4,
            stdevs=deviation,
            target=y,
            abs=False,
        )
    return gradients.detach().abs().amax(dim=1)


def grad_cam(x: Tensor, y: Tensor, model: nn.Module, layer: nn.Module) -> Tensor:
    """Return the maps of a layer, weighted by the class's mean gradient, positive part, enlarged: (N, H, W).

    Arguments and errors are those of ``integrated_gradients``; ``layer`` gives (N, channels, h, w).
    """
    _check(x, y, model)
    maps = LayerGradCam(model, layer).attribute(x, target=y, relu_attributions=True).detach()  # (N, 1, h, w)
    return LayerAttribution.interpolate(maps, tuple(x.shape[2:]), "bilinear").squeeze(1)


def attribution_methods(layer: nn.Module) -> dict[str, Method]:
    """Return four methods by the names that pictures give them; Grad-CAM looks at ``layer``."""
    return {
        "gradient": compute_saliency_maps,
        "SmoothGrad": smooth_gradients,
        "integrated gradients": integrated_gradients,
        "Grad-CAM": lambda x, y, model: grad_cam(x, y, model, layer),
    }


def _check(x: Tensor, y: Tensor, model: nn.Module) -> None:
    """Reject bad input before captum does: its errors are tracebacks."""
    with torch.no_grad():
        logits = model_logits(model, x[:1])
    check_targets(y, len(x), logits.shape[1])

"""Saliency of words: the gradient of a log-probability, through decoder, PCA and backbone, in the image.

Sources: Simonyan et al. 2014, arXiv:1312.6034 (gradient); Sundararajan et al. 2017, arXiv:1703.01365
(integrated gradients). Shapes: N batch, S side of the image in pixels, T tokens of a caption,
P points on the way from the baseline to the image.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from recap.captioner import Captioner
from recap.decoders.attention import AttentionDecoder
from recap.explain.word_attention import word_attention

WordMethod = Callable[[Captioner, Tensor, Tensor, Sequence[range]], Tensor]
"""A function with the arguments of ``word_gradients`` that returns its shape."""

INTEGRATION_POINTS = 8


def word_gradients(captioner: Captioner, x: Tensor, tokens: Tensor, spans: Sequence[range]) -> Tensor:
    """Return |d log p(word) / d x|, maximum over colours, of some words of an image's caption: (words, S, S).

    Args:
        captioner: with a backbone.
        x: (3, S, S) float32, one image, preprocessed.
        tokens: (T,) int64, its caption without <START>.
        spans: for each word the places of its tokens in 0..T - 1.
    """
    copies = x.detach().repeat(len(spans), 1, 1, 1).requires_grad_()  # (words, 3, S, S): one pass for all
    with torch.enable_grad():
        of_tokens = captioner.log_probabilities(copies, tokens)  # (words, T)
        own = [row[span.start : span.stop] for row, span in zip(of_tokens, spans, strict=True)]
        (gradients,) = torch.autograd.grad(torch.cat(own).sum(), copies)
    return gradients.abs().amax(dim=1)


def word_integrated_gradients(
    captioner: Captioner, x: Tensor, tokens: Tensor, spans: Sequence[range], points: int = INTEGRATION_POINTS
) -> Tensor:
    """Return each pixel's contribution to log p(word), on the way from the mean colour to the image.

    Arguments are those of ``word_gradients``; ``points`` is P, of the midpoint rule.

    Returns:
        (words, S, S) float32, signed, summed over colours; the sum over pixels is about the rise of log p.
    """
    baseline = x.mean(dim=(1, 2), keepdim=True)  # (3, 1, 1)
    fractions = (torch.arange(points, device=x.device) + 0.5) / points  # (P,)
    path = baseline + fractions.view(-1, 1, 1, 1) * (x - baseline)  # (P, 3, S, S)
    path = path.detach().requires_grad_()
    with torch.enable_grad():
        of_tokens = captioner.log_probabilities(path, tokens).sum(dim=0)  # (P, T) -> (T,)
        totals = [of_tokens[span.start : span.stop].sum() for span in spans]
        gradients = [torch.autograd.grad(total, path, retain_graph=True)[0].mean(dim=0) for total in totals]
    return ((x - baseline) * torch.stack(gradients)).sum(dim=1)  # (words, 3, S, S) -> (words, S, S)


def word_methods(decoder: nn.Module) -> dict[str, WordMethod]:
    """Return the methods that map the words of a decoder's captions, by name."""
    methods: dict[str, WordMethod] = {
        "integrated gradients": word_integrated_gradients,
        "gradient": word_gradients,
    }
    return methods | ({"attention": word_attention} if isinstance(decoder, AttentionDecoder) else {})

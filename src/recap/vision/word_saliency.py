"""Which pixels said a word: its log-probability, back through decoder, PCA and backbone to the image.

Sources: Simonyan et al. 2014, arXiv:1312.6034 (gradient); Sundararajan et al. 2017, arXiv:1703.01365
(integrated gradients). Shapes: N batch, S side of the image in pixels, T words of a caption, D feature,
K reduced feature, P points on the way from the baseline to the image.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from recap.data.vocabulary import START
from recap.decoders.decoder import Decoder
from recap.errors import InputError
from recap.vision.backbone import Backbone

INTEGRATION_POINTS = 16


class Projection(nn.Module):
    """PCA as the stage `reduce` fitted it, differentiable.

    Args:
        components: (K, D).
        mean: (D,).
    """

    components: Tensor
    mean: Tensor

    def __init__(self, components: Tensor, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("components", components.float())
        self.register_buffer("mean", mean.float())

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, K)."""
        return (features - self.mean) @ self.components.T


def load_projection(path: Path) -> nn.Module:
    """Read pca.safetensors; where there is none, features pass as they are.

    Raises:
        InputError: the file holds something else.
    """
    if not path.is_file():
        return nn.Identity()
    try:
        tensors = load_file(path)
        projection = Projection(tensors["components"], tensors["mean"])
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: expected components and mean of a PCA, received: {reason}") from None
    shapes = projection.components.shape, projection.mean.shape
    if shapes[0][1:] != shapes[1] or len(shapes[1]) != 1:
        shown = " and ".join(str(tuple(shape)) for shape in shapes)
        raise InputError(f"{path}: expected components (K, D) and mean (D,) of a PCA, received {shown}")
    return projection


class Captioner(nn.Module):
    """Backbone, PCA and decoder in one differentiable path from pixels to words.

    Args:
        backbone: in evaluation mode; its weights and the decoder's ask for no gradients afterwards.
        projection: what ``load_projection`` returns.
        decoder: in evaluation mode.
    """

    def __init__(self, backbone: Backbone, projection: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = projection
        self.decoder = decoder
        self.requires_grad_(False)  # pixels are asked about, so the gradients of weights would be thrown away

    def reduced(self, x: Tensor) -> Tensor:
        """What the decoder sees of images: (N, 3, S, S) float32 -> (N, K)."""
        reduced: Tensor = self.projection(self.backbone.features(x))
        return reduced

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The log-probability, in nats, of each word of one caption given each image and the words before.

        Args:
            x: (N, 3, S, S) float32, preprocessed.
            tokens: (T,) int64, without <START>.

        Returns:
            (N, T).
        """
        inputs = torch.cat([tokens.new_tensor([START]), tokens[:-1]])  # (T,)
        scores = self.decoder(self.reduced(x), inputs.expand(len(x), -1))  # (N, T, V)
        chosen = tokens.view(1, -1, 1).expand(len(x), -1, 1)  # (T,) -> (N, T, 1)
        log_probabilities: Tensor = scores.log_softmax(dim=2).gather(2, chosen).squeeze(2)
        return log_probabilities


def word_gradients(captioner: Captioner, x: Tensor, tokens: Tensor, spans: Sequence[range]) -> Tensor:
    """|d log p(word) / d x|, maximum over colours, of some words of an image's caption.

    Args:
        captioner: in evaluation mode.
        x: (3, S, S) float32, one image, preprocessed.
        tokens: (T,) int64, its caption without <START>.
        spans: for each word the places of its tokens in 0..T - 1.

    Returns:
        (words, S, S) float32, not negative.
    """
    return _gradients(captioner, x[None], tokens, spans)[:, 0].abs().amax(dim=1)


def word_integrated_gradients(
    captioner: Captioner, x: Tensor, tokens: Tensor, spans: Sequence[range], points: int = INTEGRATION_POINTS
) -> Tensor:
    """How much each pixel adds to log p(word) on the way from the image's mean colour to the image.

    Args:
        captioner, x, tokens, spans: as for ``word_gradients``.
        points: P, of the midpoint rule.

    Returns:
        (words, S, S) float32, summed over colours, signed: positive speaks for the word. The sum over pixels
        is about log p at the image less log p at the baseline.
    """
    baseline = x.mean(dim=(1, 2), keepdim=True)  # (3, 1, 1)
    shares = (torch.arange(points, device=x.device) + 0.5) / points  # (P,)
    path = baseline + shares.view(-1, 1, 1, 1) * (x - baseline)  # (P, 3, S, S)
    gradients = _gradients(captioner, path, tokens, spans).mean(dim=1)  # (words, 3, S, S)
    return ((x - baseline) * gradients).sum(dim=1)


def _gradients(captioner: Captioner, x: Tensor, tokens: Tensor, spans: Sequence[range]) -> Tensor:
    """d log p(word) / d x for each word and image: (words, N, 3, S, S)."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        of_tokens = captioner(x, tokens).sum(dim=0)  # (N, T) -> (T,)
        totals = [of_tokens[span.start : span.stop].sum() for span in spans]
        return torch.stack(
            [
                torch.autograd.grad(total, x, retain_graph=number < len(spans))[0]
                for number, total in enumerate(totals, start=1)
            ]
        )

"""Where decoders with attention look as they write: at the words before, or at places of the image.

Sources: Vaswani et al. 2017, arXiv:1706.03762, section 3.2 (words); Xu et al. 2015, arXiv:1502.03044
(places).
Shapes: N batch, T words read, A heads, W width of the model, S side of the image in pixels, P places.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from recap.captioner import Captioner
from recap.decoders.attention import AttentionDecoder
from recap.decoders.transformer import Attention, Layer, TransformerDecoder
from recap.text.vocabulary import START


@torch.no_grad()
def attention_weights(decoder: TransformerDecoder, features: Tensor, tokens: Tensor) -> list[Tensor]:
    """Return each layer's attention to the words read so far (A, T, T), as the decoder reads a caption.

    Args:
        decoder: in evaluation mode.
        features: (1, D) float32, reduced, of one image.
        tokens: (T,) int64, its caption without <START>; row t of the weights is the step that writes word t.
    """
    inputs = torch.cat([tokens.new_tensor([START]), tokens[:-1]])[None]  # (1, T)
    seen: list[Tensor] = []

    def note(attention: Any, arguments: tuple[Any, ...]) -> None:
        seen.append(_weights(attention, *arguments[:2])[0])

    attentions = [layer.self_attention for layer in decoder.layers if isinstance(layer, Layer)]
    hooks = [attention.register_forward_pre_hook(note) for attention in attentions]
    try:
        decoder.hidden(features, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


@torch.no_grad()
def word_attention(captioner: Captioner, x: Tensor, tokens: Tensor, spans: Sequence[range]) -> Tensor:
    """Return where in an image the decoder looks for some words of its caption: (words, S, S).

    Each place has one value. Arguments are those of ``word_gradients``; the decoder has attention to places.
    """
    assert isinstance(captioner.decoder, AttentionDecoder)
    inputs = torch.cat([tokens.new_tensor([START]), tokens[:-1]])[None]  # (1, T)
    weights = captioner.decoder.attention_weights(captioner.see(x[None]), inputs)[0]  # (T, P)
    of_words = torch.stack([weights[span.start : span.stop].mean(dim=0) for span in spans])  # (words, P)
    side = round(weights.shape[1] ** 0.5)
    return interpolate(of_words.view(-1, 1, side, side), x.shape[1:], mode="nearest")[:, 0]


def _weights(attention: Attention, x: Tensor, keys: Tensor) -> Tensor:
    """Compute the weights (N, A, T, T) of fused causal attention, for x (N, T, W), keys (N, A, T, W / A)."""
    queries = attention.query(x).unflatten(2, (attention.heads, -1)).transpose(1, 2)  # (N, A, T, W / A)
    scores = queries @ keys.transpose(2, 3) / keys.shape[3] ** 0.5  # (N, A, T, T)
    later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(dim=3)

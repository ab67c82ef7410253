"""The attention weights of the Transformer decoder as it writes, per layer and head.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2. Shapes: N batch, T words read, A heads,
M memory tokens, W width of the model, S source (T or M).
"""

from typing import Any

import torch
from torch import Tensor

from recap.decoders.transformer import Attention, Layer, TransformerDecoder
from recap.text.vocabulary import START


@torch.no_grad()
def attention_weights(
    decoder: TransformerDecoder, features: Tensor, tokens: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Return the attention weights while the decoder reads <START> and a caption's words but the last.

    Args:
        decoder: in evaluation mode.
        features: (1, D) float32, reduced, of one image.
        tokens: (T,) int64, its caption without <START>; row t of the weights is the step that writes word t.

    Returns:
        For each layer the weights over the words read so far (A, T, T) and over the memory (A, T, M).
    """
    inputs = torch.cat([tokens.new_tensor([START]), tokens[:-1]])[None]  # (1, T)
    seen: list[Tensor] = []

    def note(module: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        seen.append(_weights(module, arguments[0], arguments[1], causal=options.get("causal", False))[0])

    attentions = [
        part
        for layer in decoder.layers
        if isinstance(layer, Layer)
        for part in (layer.self_attention, layer.memory_attention)
    ]
    hooks = [part.register_forward_pre_hook(note, with_kwargs=True) for part in attentions]
    try:
        decoder.hidden(features, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return list(zip(seen[::2], seen[1::2], strict=True))


def _weights(attention: Attention, x: Tensor, keys: Tensor, *, causal: bool) -> Tensor:
    """Compute the weights (N, A, T, S) of fused attention, for x (N, T, W) and keys (N, A, S, W / A)."""
    queries = attention.query(x).unflatten(2, (attention.heads, -1)).transpose(1, 2)  # (N, A, T, W / A)
    scores = queries @ keys.transpose(2, 3) / keys.shape[3] ** 0.5  # (N, A, T, S)
    if causal:
        later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    return scores.softmax(dim=3)

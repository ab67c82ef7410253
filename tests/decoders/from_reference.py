"""Fast decoders from weights under the course's names, as `recap.reference` has them.

Shapes: D feature, H hidden, W word vector, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recap.decoders.build import build_decoder
from recap.decoders.decoder import Decoder


def recurrent(params: Mapping[str, Any], cell: str) -> Decoder:
    """An RNN or LSTM with the weights of `CaptioningRNN.params` (arrays or tensors), in eval mode.

    The course multiplies from the left, with the LSTM's gates in the order input, forget, output, block;
    torch multiplies from the right, in the order input, forget, block, output.
    """
    weights = {name: torch.as_tensor(value).detach().clone() for name, value in params.items()}
    wordvec_dim, gates = weights["Wx"].shape
    feature_dim, hidden_dim = weights["W_proj"].shape

    def gated(weight: Tensor) -> Tensor:  # (4H, ...) or (H, ...)
        if gates == hidden_dim:
            return weight
        input_gate, forget_gate, output_gate, block = weight.split(hidden_dim)
        return torch.cat((input_gate, forget_gate, block, output_gate))

    decoder = build_decoder(
        {
            "name": cell,
            "feature_dim": feature_dim,
            "vocabulary_size": len(weights["b_vocab"]),
            "wordvec_dim": wordvec_dim,
            "hidden_dim": hidden_dim,
            "dropout": 0.0,
        }
    ).to(weights["Wx"].dtype)
    decoder.load_state_dict(
        {
            "projection.weight": weights["W_proj"].T,
            "projection.bias": weights["b_proj"],
            "words.weight": weights["W_embed"],
            "recurrence.weight_ih_l0": gated(weights["Wx"].T),
            "recurrence.weight_hh_l0": gated(weights["Wh"].T),
            "recurrence.bias_ih_l0": gated(weights["b"]),
            "recurrence.bias_hh_l0": torch.zeros_like(weights["b"]),
            "scores.weight": weights["W_vocab"].T,
            "scores.bias": weights["b_vocab"],
        }
    )
    return decoder.eval()


_TRANSFORMER_NAMES = (
    ("visual_projection.", "projection."),
    ("embedding.", "words."),
    ("output.", "scores."),
    ("transformer.layers.", "layers."),
    (".self_attn.", ".self_attention."),
    (".multihead_attn.", ".memory_attention."),
    (".proj.", ".output."),
    (".linear1.", ".expand."),
    (".linear2.", ".contract."),
    (".norm1.", ".norms.0."),
    (".norm2.", ".norms.1."),
    (".norm3.", ".norms.2."),
)


def transformer_name(name: str) -> str:
    """What a weight of `CaptioningTransformer` is called in the fast Transformer."""
    for theirs, ours in _TRANSFORMER_NAMES:
        name = name.replace(theirs, ours)
    return name


def transformer(state: Mapping[str, Tensor], heads: int) -> Decoder:
    """A Transformer with the weights of `CaptioningTransformer.state_dict()`, in eval mode."""
    weights = {
        transformer_name(name): value
        for name, value in state.items()
        if not name.startswith("positional_encoding.")
    }
    wordvec_dim, feature_dim = weights["projection.weight"].shape
    decoder = build_decoder(
        {
            "name": "transformer",
            "feature_dim": feature_dim,
            "vocabulary_size": len(weights["scores.bias"]),
            "wordvec_dim": wordvec_dim,
            "heads": heads,
            "layers": 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers.")),
            "feedforward_dim": len(weights["layers.0.expand.bias"]),
            "memory_tokens": 1,
            "dropout": 0.0,
        }
    ).to(weights["projection.weight"].dtype)
    decoder.load_state_dict(weights)
    return decoder.eval()

"""Makes decoders from their description, and keeps them: weights.safetensors and model.json."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load

from recap.core.artifacts import write_json, write_safetensors
from recap.core.feature_files import NO_GRID, Grid
from recap.core.input_files import check_regular, read_json
from recap.decoders.attention import AttentionDecoder
from recap.decoders.decoder import Decoder
from recap.decoders.recurrent import RecurrentDecoder
from recap.decoders.transformer import TransformerDecoder
from recap.errors import InputError, expecting
from recap.runtime.allocation import allocate

if TYPE_CHECKING:
    from recap.decoders.config import DecoderConfig

DECODERS: dict[str, Callable[..., Decoder]] = {
    "rnn": partial(RecurrentDecoder, "rnn"),
    "lstm": partial(RecurrentDecoder, "lstm"),
    "transformer": TransformerDecoder,
    "attention_lstm": AttentionDecoder,
}
NAMES = tuple(DECODERS)
OF_TRAINING = ("learning_rate", "epochs")
"""Settings of a decoder that are not of its form."""


def describe(
    name: str, config: "DecoderConfig", feature_dim: int, vocabulary_size: int, grid: Grid = NO_GRID
) -> dict[str, Any]:
    """Make the description of a decoder that ``build_decoder`` takes.

    Args:
        name: one of ``NAMES``.
        config: its settings.
        feature_dim, vocabulary_size: D, V.
        grid: places and channels of the maps behind the feature.
    """
    sizes = {key: value for key, value in vars(config).items() if key not in OF_TRAINING}
    if grid != NO_GRID:
        sizes["grid"] = list(grid)
    return {"name": name, "feature_dim": feature_dim, "vocabulary_size": vocabulary_size, **sizes}


def build_decoder(model: dict[str, Any], generator: torch.Generator | None = None) -> Decoder:
    """Make a decoder.

    Args:
        model: "name", one of ``NAMES``, and the arguments of its class.
        generator: draws the weights; without one they hold nothing and must be loaded.

    Raises:
        InputError: the description names no decoder, or lacks a size or has one too many.
    """
    name = model.get("name")
    sizes = {key: value for key, value in model.items() if key != "name"}
    if name not in NAMES:
        raise InputError(f"decoder: expected one of {', '.join(NAMES)}, received {name!r}")
    try:
        with torch.device("meta"):
            decoder = DECODERS[name](**sizes)
        allocate(decoder)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"decoder {name}: expected its sizes, received {sorted(sizes)}: {reason}") from None
    if generator is not None:
        decoder.initialise(generator)
    return decoder


def save_decoder(directory: Path, decoder: Decoder, model: dict[str, Any]) -> None:
    """Write weights.safetensors and model.json, the description that ``build_decoder`` takes."""
    write_safetensors(directory / "weights.safetensors", decoder.state_dict())
    write_json(directory / "model.json", model)


def load_decoder(directory: Path, device: torch.device | str = "cpu") -> Decoder:
    """Read what ``save_decoder`` wrote; the decoder is in eval mode.

    Raises:
        InputError: a file is absent or unreadable, or the weights belong to another decoder.
    """
    path = directory / "model.json"
    with expecting(f"{path}: expected the description of a decoder", InputError, ValueError):
        model = read_json(path)
        if not isinstance(model, dict):
            raise ValueError("no object")
    decoder = build_decoder(model)
    path = directory / "weights.safetensors"
    check_regular(path)
    with expecting(f"{path}: expected the weights of {model['name']}"):
        decoder.load_state_dict(load(path.read_bytes()))
    return decoder.eval().to(device)

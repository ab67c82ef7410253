"""Backbones by name: built from a description, kept as backbone.json and weights.safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from recap.artifacts import write_json, write_safetensors
from recap.errors import InputError
from recap.vision.backbone import Backbone
from recap.vision.small_vgg import SmallVgg
from recap.vision.squeezenet import SqueezeNet

DESCRIPTION_FILE = "backbone.json"
WEIGHTS_FILE = "weights.safetensors"


def build_backbone(description: Mapping[str, Any]) -> Backbone:
    """Build a backbone with fresh weights.

    Args:
        description: ``name``, ``heads`` (head name -> class labels) and, for small_vgg, ``feature_dim``.

    Raises:
        InputError: the name is not of a backbone.
    """
    name = description["name"]
    if name == "small_vgg":
        return SmallVgg(description["feature_dim"], description["heads"])
    if name == "squeezenet1_1":
        return SqueezeNet(description["heads"]["class"])
    raise InputError(f"backbone: expected small_vgg or squeezenet1_1, received {name!r}")


def save_backbone(directory: Path, description: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write a description and weights as ``load_backbone`` reads them."""
    write_safetensors(directory / WEIGHTS_FILE, weights)
    write_json(directory / DESCRIPTION_FILE, description)


def load_backbone(directory: Path) -> Backbone:
    """Read a backbone that the stage `backbone` wrote; in evaluation mode, on the CPU.

    Raises:
        InputError: there is none, or its weights do not fit it.
    """
    path = directory / DESCRIPTION_FILE
    try:
        description = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected the description of a backbone, received: {error}") from None
    backbone = build_backbone(description)
    load_weights(backbone, directory / WEIGHTS_FILE)
    return backbone.eval()


def load_weights(backbone: Backbone, path: Path) -> None:
    """Fill a backbone with the weights of a safetensors file.

    Raises:
        InputError: no safetensors file, or its names, shapes or types are not the backbone's (all named).
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected weights in safetensors format, received: {reason}") from None
    mistakes = _mismatches(backbone.state_dict(), weights)
    if mistakes:
        listed = "; ".join(mistakes[:5]) + (f"; and {len(mistakes) - 5} more" if len(mistakes) > 5 else "")
        raise InputError(f"{path}: expected the weights of {backbone.name}, received others: {listed}")
    backbone.load_state_dict(weights)


def _mismatches(expected: Mapping[str, Tensor], received: Mapping[str, Tensor]) -> list[str]:
    """What differs in names, shapes and kinds of number, one phrase a tensor, sorted by name."""
    mistakes = []
    for name in sorted({*expected, *received}):
        if name not in received:
            mistakes.append(f"{name} is absent")
        elif name not in expected:
            mistakes.append(f"{name} is unknown")
        elif expected[name].shape != received[name].shape:
            mistakes.append(
                f"{name} has shape {tuple(received[name].shape)} instead of {tuple(expected[name].shape)}"
            )
        elif expected[name].is_floating_point() != received[name].is_floating_point():
            mistakes.append(f"{name} is {received[name].dtype} instead of {expected[name].dtype}")
        elif not received[name].isfinite().all():
            mistakes.append(f"{name} holds values that are not finite")
    return mistakes

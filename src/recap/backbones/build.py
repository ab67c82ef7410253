"""Backbones by name: built from a description, kept as backbone.json and weights.safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from recap.backbones.backbone import Backbone
from recap.backbones.small_vgg import SmallVgg
from recap.backbones.squeezenet import SqueezeNet
from recap.core.artifacts import write_json, write_safetensors
from recap.errors import InputError

DESCRIPTION_FILE = "backbone.json"
WEIGHTS_FILE = "weights.safetensors"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LARGEST_RATIO = 4  # of a file of weights to the weights: float64 is twice, and there may be another set
SIZE_FREE_BYTES = 1 << 20


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
        backbone = build_backbone(json.loads(path.read_bytes()))
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: expected the description of a backbone, received: {reason}") from None
    load_weights(backbone, directory / WEIGHTS_FILE)
    return backbone.eval()


def load_weights(backbone: Backbone, path: Path) -> None:
    """Fill a backbone with the weights of a safetensors file.

    Raises:
        InputError: no safetensors file, or its names, shapes or types are not the backbone's (all named).
    """
    check_size(backbone, path)
    try:
        weights = load_file(path)
    except (OSError, SafetensorError, ValueError, LookupError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: expected weights in safetensors format, received: {reason}") from None
    fill(backbone, weights, path)


def check_size(backbone: Backbone, path: Path) -> None:
    """Refuse a file that is far larger than the weights of a backbone, before it is read.

    Raises:
        InputError: it is.
    """
    own = sum(value.numel() * value.element_size() for value in backbone.state_dict().values())
    most = SIZE_FREE_BYTES + LARGEST_RATIO * own
    size = path.stat().st_size if path.is_file() else 0
    if size > most:
        raise InputError(
            f"{path}: expected at most {most} bytes of weights of {backbone.name}, received {size}"
        )


def fill(backbone: Backbone, weights: Mapping[str, Tensor], path: Path) -> None:
    """Fill a backbone with weights by their names, which came from a file.

    Raises:
        InputError: names, shapes or types are not the backbone's, or a value is not finite (all named).
    """
    mistakes = _mismatches(backbone.state_dict(), weights)
    if mistakes:
        listed = "; ".join(mistakes[:5]) + (f"; and {len(mistakes) - 5} more" if len(mistakes) > 5 else "")
        raise InputError(f"{path}: expected the weights of {backbone.name}, received others: {listed}")
    backbone.load_state_dict(weights)


def _mismatches(expected: Mapping[str, Tensor], received: Mapping[str, Tensor]) -> list[str]:
    """Return what differs in names, shapes and kinds of number, one phrase a tensor, sorted by name."""
    mistakes = []
    for name in sorted({*expected, *received}):
        if name not in received:
            mistakes.append(f"{name} is absent")
        elif name not in expected:
            mistakes.append(f"{name[:60] if name.isprintable() else ascii(name[:60])} is unknown")
        elif not _is_plain(received[name]):
            kind = "quantised" if received[name].is_quantized else f"nested or {received[name].layout}"
            mistakes.append(f"{name} is {kind} instead of plain numbers")
        elif received[name].device.type != "cpu":
            mistakes.append(f"{name} has no values, only a shape")
        elif expected[name].shape != received[name].shape:
            mistakes.append(
                f"{name} has shape {tuple(received[name].shape)} instead of {tuple(expected[name].shape)}"
            )
        elif not _is_kind(received[name].dtype, expected[name].dtype):
            mistakes.append(f"{name} is {received[name].dtype} instead of {expected[name].dtype}")
        elif not received[name].isfinite().all():
            mistakes.append(f"{name} holds values that are not finite")
    return mistakes


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested


def _is_kind(received: torch.dtype, expected: torch.dtype) -> bool:
    return received in FLOATS if expected.is_floating_point else received == expected

"""Backbones by name: built from a description, kept as backbone.json and weights.safetensors.

Beside those of an encoder of the user's lies the file that builds it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from recap.backbones.backbone import Backbone
from recap.backbones.encoder import NAME, build_encoder
from recap.backbones.imagenet import RESNET_BLOCKS, ResNet, Vgg16
from recap.backbones.small_vgg import SmallVgg, TwoStreamVgg
from recap.backbones.squeezenet import SqueezeNet
from recap.core import paths
from recap.core.artifacts import write_json, write_safetensors
from recap.core.input_files import check_regular, read_json
from recap.errors import InputError, expecting

DESCRIPTION_FILE = "backbone.json"
WEIGHTS_FILE = "weights.safetensors"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LARGEST_RATIO = 4  # of a file of weights to the weights: float64 is twice, and there may be another set
SIZE_FREE_BYTES = 1 << 20


def build_backbone(description: Mapping[str, Any]) -> Backbone:
    """Build a backbone with fresh weights.

    Args:
        description: ``name``, ``heads`` (head name -> class labels) and, for those that are trained here,
            ``feature_dim``.

    Raises:
        InputError: the name is not of a backbone.
    """
    name = description["name"]
    for trained in (TwoStreamVgg, SmallVgg):
        if name == trained.name:
            return trained(description["feature_dim"], description["heads"])
    if name == "squeezenet1_1":
        return SqueezeNet(description["heads"]["class"])
    if name == "vgg16":
        return Vgg16(description["heads"]["class"])
    if name in RESNET_BLOCKS:
        return ResNet(name, description["heads"]["class"])
    known = (SmallVgg.name, TwoStreamVgg.name, "squeezenet1_1", "vgg16", *RESNET_BLOCKS)
    raise InputError(f"backbone: expected one of {', '.join(known)}, received {name!r}")


def save_backbone(directory: Path, description: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write a description and weights as ``load_backbone`` reads them."""
    write_safetensors(directory / WEIGHTS_FILE, weights)
    write_json(directory / DESCRIPTION_FILE, description)


def keep_grid(directory: Path) -> None:
    """Say in a backbone's description that the last maps are kept beside its features.

    Raises:
        InputError: it has none, being an encoder of the user's.
    """
    description = read_json(directory / DESCRIPTION_FILE)
    if description["name"] == NAME:
        raise InputError("features.grid: expected false for an encoder of one's own, received true")
    write_json(directory / DESCRIPTION_FILE, description | {"grid": True})


def load_backbone(directory: Path) -> Backbone:
    """Read a backbone that the stage `backbone` wrote; in evaluation mode, on the CPU.

    Raises:
        InputError: there is none, or its weights do not fit it.
    """
    path = directory / DESCRIPTION_FILE
    with expecting(f"{path}: expected the description of a backbone", Exception, InputError):
        description = read_json(path)
        if description["name"] == NAME:
            code = directory / paths.ENCODER_CODE
            backbone: Backbone = build_encoder(code, description["function"], pretrained=False)
        else:
            backbone = build_backbone(description)
    load_weights(backbone, directory / WEIGHTS_FILE)
    backbone.eval()
    if description.get("grid") is True and description["name"] != NAME:
        with torch.no_grad():
            maps = backbone.maps(torch.zeros(1, 3, backbone.input_size, backbone.input_size))
        backbone.grid = (maps[0, 0].numel(), maps.shape[1])
    return backbone


def load_weights(backbone: Backbone, path: Path) -> None:
    """Fill a backbone with the weights of a safetensors file.

    Raises:
        InputError: no safetensors file, or its names, shapes or types are not the backbone's (all named).
    """
    check_size(backbone, path)
    with expecting(f"{path}: expected weights in safetensors format"):
        weights = load_file(path)
    fill(backbone, weights, path)


def check_size(backbone: Backbone, path: Path) -> None:
    """Refuse a file that is far larger than the weights of a backbone, before it is read.

    Raises:
        InputError: it is.
    """
    check_regular(path)
    own = sum(value.numel() * value.element_size() for value in backbone.network.state_dict().values())
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
    expected = backbone.network.state_dict()
    counters = [name for name in expected if name.endswith("num_batches_tracked")]
    # of training; published weights of old have none
    weights = {name: torch.zeros((), dtype=torch.int64) for name in counters} | dict(weights)
    mistakes = _mismatches(expected, weights)
    if mistakes:
        listed = "; ".join(mistakes[:5]) + (f"; and {len(mistakes) - 5} more" if len(mistakes) > 5 else "")
        raise InputError(f"{path}: expected the weights of {backbone.name}, received others: {listed}")
    backbone.network.load_state_dict(weights)


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

"""Backbones whose weights come from elsewhere: fetched, verified, and kept with their class names or code."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from recap.backbones.backbone import Backbone
from recap.backbones.build import build_backbone, check_size, fill, load_weights, save_backbone
from recap.backbones.config import ENCODER, FeaturesConfig
from recap.backbones.encoder import NAME, build_encoder
from recap.backbones.squeezenet import CLASS_COUNT
from recap.core import paths
from recap.core.artifacts import write_bytes
from recap.core.input_files import read_file
from recap.errors import InputError
from recap.sources.download import Files, download
from recap.sources.registry import RemoteFile, find_remote, is_url, mismatch


def prepare_fetched(config: FeaturesConfig, directory: Path, files: Files) -> dict[str, float]:
    """Verify the weights of ``config.backbone`` and write them as the backbone of the pipeline.

    The order is: fetch, SHA-256 where it is known, format, names and shapes, write.

    Args:
        config: the group `features`; its ``backbone`` is not one that is trained here.
        directory: receives backbone.json and weights.safetensors.
        files: keeps what comes from URLs.

    Returns:
        ``parameters``, how many weights there are.

    Raises:
        InputError: no weights, others than expected, or a file of class names without one line a class.
    """
    if own := ENCODER.fullmatch(config.backbone):
        return _prepare_encoder(Path(own[1]), own[2], config, directory, files)
    if config.weights is None:
        raise InputError(
            f"features.weights: expected a path or URL of the weights of {config.backbone}, received null"
        )
    description = {"name": config.backbone, "heads": {"class": _class_names(config.class_names)}}
    backbone = build_backbone(description)
    _load(backbone, _fetch(config.weights, config, files))
    return _save(directory, description, backbone)


def _prepare_encoder(
    path: Path, function: str, config: FeaturesConfig, directory: Path, files: Files
) -> dict[str, float]:
    """Keep the user's file, and the weights of what it builds or those that the settings name."""
    try:
        code = read_file(path)
    except InputError as error:
        raise InputError(f"features.backbone: {error}") from None
    write_bytes(directory / paths.ENCODER_CODE, code)
    try:
        encoder = build_encoder(directory / paths.ENCODER_CODE, function, pretrained=config.weights is None)
    except InputError as error:
        text = str(error).replace(str(directory / paths.ENCODER_CODE), str(path))
        raise InputError(f"features.backbone: {text}") from None
    if config.weights is not None:
        _load(encoder, _fetch(config.weights, config, files))
    description = {"name": NAME, "function": function, "feature_dim": encoder.feature_dim, "heads": {}}
    return _save(directory, description, encoder)


def _load(backbone: Backbone, path: Path) -> None:
    if path.suffix == ".pth":
        check_size(backbone, path)
        fill(backbone, _read_published(path), path)
    else:
        load_weights(backbone, path)


def _save(directory: Path, description: Mapping[str, Any], backbone: Backbone) -> dict[str, float]:
    # a copy of each: the user's network may share one between two names
    weights = {name: value.clone() for name, value in backbone.network.state_dict().items()}
    save_backbone(directory, description, weights)
    return {"parameters": sum(weight.numel() for weight in backbone.parameters())}


def _fetch(source: str, config: FeaturesConfig, files: Files) -> Path:
    """Return the verified file at a path, or a verified copy of what is at a URL."""
    if is_url(source):
        remote = find_remote(source, files.registry, config.weights_sha256)
        return download(remote, files.directory, files.offline)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"features.weights: expected a path or URL of a file, received {source!r}")
    problem = mismatch(path, RemoteFile(source, (), None, config.weights_sha256))
    if problem:
        raise InputError(f"features.weights: {source}: {problem}")
    return path


def _read_published(path: Path) -> dict[str, torch.Tensor]:
    """Read weights as torchvision publishes them (.pth); refuse a pickle that holds more."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                    raise ValueError("packed members")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused below
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file may raise anything
        reason = " ".join(str(error).partition("\n")[0].split())[:300]
        raise InputError(
            f"{path}: expected nothing but weights, received: {reason or type(error).__name__}"
        ) from None
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and type(value) in (torch.Tensor, torch.nn.Parameter)
        for name, value in weights.items()
    ):
        raise InputError(f"{path}: expected tensors by name, received something else")
    return weights


def _class_names(source: str | None) -> list[str]:
    if source is None:
        return [f"class {index}" for index in range(CLASS_COUNT)]
    try:
        names = [line.strip() for line in read_file(Path(source)).decode().splitlines()]
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"features.class_names: expected a text file, received: {error}") from None
    if len(names) != CLASS_COUNT or not all(names):
        raise InputError(
            f"features.class_names: {source}: expected {CLASS_COUNT} names, one a line, "
            f"received {len(names)} lines, {sum(not name for name in names)} empty"
        )
    return names

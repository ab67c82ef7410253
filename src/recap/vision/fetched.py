"""Backbones whose weights come from elsewhere: fetched, verified, and kept with their class names."""

import pickle
import tempfile
from pathlib import Path

import torch

from recap.artifacts import write_safetensors
from recap.data.download import Files, download
from recap.data.registry import RemoteFile, find_remote, is_url, mismatch
from recap.errors import InputError
from recap.vision.backbones import build_backbone, load_weights, save_backbone
from recap.vision.features_config import FeaturesConfig
from recap.vision.squeezenet import CLASS_COUNT


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
        InputError: no weights given or to be had, another SHA-256, neither safetensors nor the weights
            of a .pth file, weights of another network, or a file of class names without one line a class.
    """
    if config.weights is None:
        raise InputError(
            f"features.weights: expected a path or URL of the weights of {config.backbone}, received null"
        )
    description = {"name": config.backbone, "heads": {"class": _class_names(config.class_names)}}
    backbone = build_backbone(description)
    path = _fetch(config.weights, config, files)
    with tempfile.TemporaryDirectory(prefix="recap-weights-") as folder:
        if path.suffix == ".pth":
            path = _convert(path, Path(folder) / f"{path.stem}.safetensors")
        load_weights(backbone, path)
    save_backbone(directory, description, backbone.state_dict())
    return {"parameters": sum(weight.numel() for weight in backbone.parameters())}


def _fetch(source: str, config: FeaturesConfig, files: Files) -> Path:
    """The verified file at a path, or a verified copy of what is at a URL."""
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


def _convert(path: Path, target: Path) -> Path:
    """Weights as torchvision publishes them (.pth) in safetensors; a pickle that holds more is refused."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: expected nothing but weights, received: {reason}") from None
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise InputError(f"{path}: expected tensors by name, received something else")
    write_safetensors(target, weights)
    return target


def _class_names(source: str | None) -> list[str]:
    if source is None:
        return [f"class {index}" for index in range(CLASS_COUNT)]
    try:
        names = [line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"features.class_names: expected a text file, received: {error}") from None
    if len(names) != CLASS_COUNT or not all(names):
        raise InputError(
            f"features.class_names: {source}: expected {CLASS_COUNT} names, one a line, "
            f"received {len(names)} lines, {sum(not name for name in names)} empty"
        )
    return names

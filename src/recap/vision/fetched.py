"""Backbones whose weights come from elsewhere: fetched, verified, and kept with their class names."""

import hashlib
import tempfile
from pathlib import Path

import httpx

from recap.errors import InputError
from recap.vision.backbones import build_backbone, load_weights, save_backbone
from recap.vision.features_config import FeaturesConfig
from recap.vision.squeezenet import CLASS_COUNT


def prepare_fetched(config: FeaturesConfig, directory: Path) -> dict[str, float]:
    """Verify the weights of ``config.backbone`` and write them as the backbone of the pipeline.

    The order is: fetch, SHA-256 when it is given, format, names and shapes, write.

    Args:
        config: the group `features`; its ``backbone`` is not one that is trained here.
        directory: receives backbone.json and weights.safetensors.

    Returns:
        ``parameters``, how many weights there are.

    Raises:
        InputError: no weights given or to be had, another SHA-256, not safetensors, weights of another
            network, or a file of class names that does not have one line a class.
    """
    if config.weights is None:
        raise InputError(
            f"features.weights: expected a path or URL of the weights of {config.backbone}, received null"
        )
    description = {"name": config.backbone, "heads": {"class": _class_names(config.class_names)}}
    backbone = build_backbone(description)
    with tempfile.TemporaryDirectory(prefix="recap-weights-") as folder:
        path = _fetch(config.weights, Path(folder))
        _check_sha256(path, config.weights, config.weights_sha256)
        load_weights(backbone, path)
    save_backbone(directory, description, backbone.state_dict())
    return {"parameters": sum(weight.numel() for weight in backbone.parameters())}


def _fetch(source: str, folder: Path) -> Path:
    """The file at a path, or a copy of what is at a URL."""
    if not source.startswith(("https://", "http://")):
        path = Path(source)
        if not path.is_file():
            raise InputError(f"features.weights: expected a path or URL of a file, received {source!r}")
        return path
    path = folder / "weights.safetensors"
    try:
        with httpx.stream("GET", source, follow_redirects=True, timeout=30) as response:
            response.raise_for_status()
            with open(path, "wb") as file:
                for block in response.iter_bytes():
                    file.write(block)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise InputError(f"features.weights: expected a file at {source}, received: {reason}") from None
    return path


def _check_sha256(path: Path, source: str, expected: str | None) -> None:
    if expected is None:
        return
    with open(path, "rb") as file:
        received = hashlib.file_digest(file, "sha256").hexdigest()
    if received != expected.lower():
        raise InputError(f"features.weights: {source}: expected SHA-256 {expected}, received {received}")


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

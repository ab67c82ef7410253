"""How to get the same page again: what is promised, the commands, the outputs and the settings."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from recap.report.inputs import Inputs
from recap.report.promise import made_from, promise

STAGES = (
    (("fetch", "images and captions, verified"),),
    (("tokenize", "vocabulary and encoded captions"), ("backbone", "the network that sees")),
    (("extract", "a feature vector an image"),),
    (("reduce", "PCA"),),
    (("train", "a decoder each"), ("sanity", "gradients and overfitting")),
    (("evaluate", "captions and scores, a decoder each"),),
    (("visualize", "what the networks see"),),
    (("report", "this page"),),
    (("record", "what ran, for MLflow"),),
)
"""The pipeline, each stage with what it makes: it reads nothing that does not stand before it."""
LIBRARIES = ("torch", "numpy", "scikit-learn", "scipy", "pillow", "h5py", "safetensors", "dvc", "mlflow")

COMMANDS = (
    ("make repro", "run what is out of date; a second time, nothing"),
    ("recap verify", "hash every output again and compare with dvc.lock"),
    ("recap verify --rerun", "run everything from nothing in a fresh folder and compare output by output"),
    ("recap doctor", "how your machine differs from the one that made dvc.lock, and whether it matters"),
    ("dvc exp run -S decoders.lstm.hidden_dim=512", "try another setting"),
    ("recap report --compare HEAD~1", "this pipeline and another one on a page, image by image"),
    ("dvc plots show", "the curves and scores as plots, side by side with other runs"),
    ("make ui", "every stage's run in MLflow"),
)
FETCH = ("dvc exp run -S data.images.fetch=true", "fetch the photographs that the page shows")


def build(inputs: Inputs) -> dict[str, Any]:
    """Return the promise, commands with what they do, what the page was made from, and every setting."""
    return {
        "promise": promise(inputs.params.get("runtime", {})),
        "commands": COMMANDS if inputs.raw.source.images else (*COMMANDS, FETCH),
        "stages": STAGES,
        "versions": [
            (library, inputs.versions[library]) for library in LIBRARIES if library in inputs.versions
        ],
        "outputs": list(inputs.hashes.items()),
        "digest": made_from(inputs.hashes),
        "params": "\n".join(_lines(inputs.params, 0)),
    }


def _lines(values: Mapping[str, Any], depth: int) -> list[str]:
    lines = []
    for key, value in values.items():
        indent = "  " * depth
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", *_lines(value, depth + 1)]
        else:
            lines.append(f"{indent}{key}: {written_setting(value)}")
    return lines


def written_setting(value: Any) -> str:
    """Return a value of params.yaml as the page writes it."""
    return json.dumps(_without_folders(value), ensure_ascii=False).strip('"')


def _without_folders(value: Any) -> Any:
    """Return an absolute path's last part: the rest says where things are on one machine."""
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or value.startswith("~")):
        return f"…/{PurePosixPath(value).name}"
    if isinstance(value, str) and PureWindowsPath(value).is_absolute():
        return f"…/{PureWindowsPath(value).name}"
    return value

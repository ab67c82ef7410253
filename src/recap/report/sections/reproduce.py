"""How to get the same page again: what is promised, the commands, the outputs and the settings."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from recap.report.config import ReportConfig
from recap.report.inputs import Inputs
from recap.report.promise import promise
from recap.report.selection import Selection

COMMANDS = (
    ("make repro", "run what is out of date; a second time, nothing"),
    ("recap verify", "hash every output again and compare with dvc.lock"),
    ("recap verify --rerun", "run everything from nothing in a fresh folder and compare output by output"),
    ("recap doctor", "how your machine differs from the one that made dvc.lock, and whether it matters"),
    ("dvc exp run -S decoders.lstm.hidden_dim=256", "try another setting"),
    ("dvc plots show", "the curves and scores as plots, side by side with other runs"),
    ("make ui", "every stage's run in MLflow"),
)


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any]:
    """The promise, commands with what they do, outputs with their MD5, and every setting of params.yaml."""
    return {
        "promise": promise(inputs.params.get("runtime", {})),
        "commands": COMMANDS,
        "outputs": list(inputs.hashes.items()),
        "params": "\n".join(_lines(inputs.params, 0)),
    }


def _lines(values: Mapping[str, Any], depth: int) -> list[str]:
    lines = []
    for key, value in values.items():
        indent = "  " * depth
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", *_lines(value, depth + 1)]
        else:
            written = json.dumps(_without_folders(value), ensure_ascii=False).strip('"')
            lines.append(f"{indent}{key}: {written}")
    return lines


def _without_folders(value: Any) -> Any:
    """An absolute path's last part: the rest says where things are on one machine."""
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or value.startswith("~")):
        return f"…/{PurePosixPath(value).name}"
    if isinstance(value, str) and PureWindowsPath(value).is_absolute():
        return f"…/{PureWindowsPath(value).name}"
    return value

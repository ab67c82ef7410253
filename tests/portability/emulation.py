"""Runs the stages small, here and on processors that Debian's qemu-user emulates, and compares outputs.

qemu 7.2 misreads vgatherdps with its indices in ymm4, and reads all of a masked load: code that meets either
ends in a segmentation fault there, and on no processor. Known to: np.minimum of floats and a number,
np.argsort unless stable, oneDNN's tanh, which is also wrong there after a product of one row and one term.
"""

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from recap.core.arithmetic import WITHOUT_CONVOLUTIONS, variables

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = "qemu-x86_64"
PROCESSORS = ("Haswell", "EPYC-Milan")
"""One of Intel's and one of AMD's, both with AVX2 and without AVX-512."""

MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}
"""As in stages/run.sh; buffers then lie in one heap, where reading beyond a masked load does not fail."""

DECODERS = ("rnn", "lstm", "transformer")
STAGES = (
    "fetch",
    "tokenize",
    "backbone",
    "extract",
    "reduce",
    *(f"train {name}" for name in DECODERS),
    *(f"evaluate {name}" for name in DECODERS),
    "sanity",
    "visualize",
    "report",
)
FEW: dict[str, Any] = {
    "data": {"scenes": {"train_images": 20, "validation_images": 6, "test_images": 6}},
    "tokenize": {"min_count": 2},
    "backbone": {"crop_steps": 2, "steps": 2, "batch_size": 6},
    "reduce": {"components": 12},
    "decoders": {name: {"epochs": 1} for name in DECODERS},
    "train": {"batch_size": 48},
    "evaluate": {"bootstrap_resamples": 100, "decoding": {"max_length": 8}},
    "sanity": {"captions": 2},
    "visualize": {
        "images": 1,
        "heads": ["first_size"],
        "iterations": 2,
        "fooled_images": 1,
        "worded_images": 1,
    },
    "report": {"gallery_images": 3},
}
"""Few scenes and few steps."""

NARROW: dict[str, Any] = {
    "backbone": {"feature_dim": 64},
    "decoders": {
        **{name: {"wordvec_dim": 32, "hidden_dim": 64} for name in ("rnn", "lstm")},
        "transformer": {"wordvec_dim": 32, "feedforward_dim": 64},
    },
}
"""Networks for an emulator, which does some 30 million operations a second."""


def make_folder(folder: Path, *changes: dict[str, Any]) -> Path:
    """A folder with this checkout's code, and its params changed."""
    folder.mkdir(parents=True)
    for name in ("src", "stages"):
        (folder / name).symlink_to(ROOT / name)
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    for change in changes:
        _merge(params, change)
    yaml.dump(params, folder / "params.yaml")
    shutil.copy(ROOT / "requirements.lock", folder)  # the page names its hash
    return folder


def _merge(values: Any, change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            _merge(values[key], value)
        else:
            values[key] = value


def start(
    folder: Path, script: str, *arguments: str, processor: str | None = None, stage: str = ""
) -> "subprocess.Popen[str]":
    """Run a script of this folder's under a stage's arithmetic, on an emulated processor if one is named.

    The emulator loads the interpreter itself, as a virtual environment's is a link.
    """
    environment = (
        variables(True, os.environ, stage) | {"RECAP_TRACKING": "off", "PYTHONWARNINGS": "ignore"} | MEMORY
    )
    packages = sysconfig.get_paths()["purelib"]
    environment["PYTHONPATH"] = os.pathsep.join((str(folder / "src"), packages))
    command = [os.path.realpath(sys.executable), "-P", str(Path(__file__).with_name(script)), *arguments]
    if processor:
        command = [EMULATOR, "-cpu", processor, *command]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """What a process printed; AssertionError with all of it when it failed."""
    output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    return output


def run(folder: Path, script: str, *arguments: str, stage: str = "") -> str:
    """Start a script, wait for it and return what it printed."""
    return finish(start(folder, script, *arguments, stage=stage))


def run_stages(folder: Path, *arguments: str) -> None:
    """Run stages on this processor, those that follow each other under the same variables in one process.

    Args:
        folder: that of ``make_folder``.
        arguments: of run_stages.py; those that name a stage come last.
    """
    options = [argument for argument in arguments if argument not in STAGES]
    stages = arguments[len(options) :]
    for _, group in itertools.groupby(stages, key=convolves):
        own = list(group)
        run(folder, "run_stages.py", *options, *own, stage=own[0].split()[0])


def convolves(stage: str) -> bool:
    """Whether a stage's variables keep oneDNN to AVX2."""
    return stage.split()[0] not in WITHOUT_CONVOLUTIONS


def is_here() -> bool:
    """Whether the emulator is installed."""
    return shutil.which(EMULATOR) is not None


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that the stages wrote."""
    files = sorted(path for name in ("data", "models", "reports") for path in (folder / name).rglob("*"))
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file()
    }


def different(expected: Path, received: Path) -> Sequence[str]:
    """The files that differ between two folders, or are in one alone."""
    ours, theirs = digests(expected), digests(received)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))

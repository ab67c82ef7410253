"""Runs stages one after the other in this process, so that an emulator loads the libraries once.

run_stages.py [--narrow] [--operations FILE] [--calls FILE] STAGE...: a stage is a script's name and its
arguments in one word, such as "train lstm". FILE receives, as JSON, the torch operations that were called,
beside those that it holds.
"""

import argparse
import contextlib
import importlib
import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from recording import Recorder

SMALLER: dict[str, dict[str, Any]] = {
    "recap.backbones.small_vgg": {
        "FORM": ((8, True), (8, True), (16, True), (16, False)),
        "COLOUR": ((8, True), (8, True)),
    },
    "recap.explain.attributions": {"INTEGRATION_STEPS": 3, "NOISE_SAMPLES": 2},
    "recap.explain.pictures.fooling": {"MAX_ITERATIONS": 4},
    "recap.explain.pictures.saliency": {"FRACTIONS": (0.0, 1.0)},
    "recap.sanity.overfit": {"HIDDEN_DIM": 32, "WORDVEC_DIM": 16, "EPOCHS": 3, "RECURRENT_EPOCHS": 3},
}
"""Constants that make networks narrow and loops short, so that an emulator gets through them."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--narrow", action="store_true")
    parser.add_argument("--operations", type=Path)
    parser.add_argument("--calls", type=Path)
    parser.add_argument("stages", nargs="+")
    options = parser.parse_args()
    for module, constants in SMALLER.items() if options.narrow else ():
        for name, value in constants.items():
            assert hasattr(importlib.import_module(module), name), (module, name)
            setattr(sys.modules[module], name, value)
    recorder = Recorder(with_calls=options.calls is not None)
    recording = recorder if options.operations or options.calls else contextlib.nullcontext()
    for stage in options.stages:
        start = time.monotonic()
        script, *arguments = stage.split()
        sys.argv = [f"stages/{script}.py", *arguments]
        with recording:
            runpy.run_path(sys.argv[0], run_name="__main__")
        print(f"{stage}: {time.monotonic() - start:.0f} s", flush=True)
    if options.operations:
        write(options.operations, sorted({*read(options.operations, []), *recorder.calls}))
    if options.calls:
        calls = read(options.calls, {})
        for line, found in recorder.calls.items():
            calls[line] = sorted({*calls.get(line, []), *found.values()})
        write(options.calls, calls)


def read(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else otherwise


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()

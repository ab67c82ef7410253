"""Runs stages one after the other in this process, so that an emulator loads the libraries once.

run_stages.py [--operations FILE] [--calls FILE] STAGE...: a stage is a script's name and its arguments in one
word, such as "train lstm". FILE receives, as JSON, the torch operations that the stages called.
"""

import argparse
import contextlib
import json
import runpy
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from recording import Recorder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=Path)
    parser.add_argument("--calls", type=Path)
    parser.add_argument("stages", nargs="+")
    options = parser.parse_args()
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
        options.operations.write_text(json.dumps(sorted(recorder.calls)), encoding="utf-8")
    if options.calls:
        calls = {line: sorted(found.values()) for line, found in recorder.calls.items()}
        options.calls.write_text(json.dumps(calls), encoding="utf-8")


if __name__ == "__main__":
    main()

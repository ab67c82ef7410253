"""Runs a stage's script with the arithmetic that params.yaml asks for: python -m recap.run_stage SCRIPT ...

Libraries read how they are to compute when they are loaded, so it is said here, before the script loads any.
"""

import os
import runpy
import sys
from pathlib import Path

from recap.arithmetic import steer
from recap.config import load
from recap.errors import InputError
from recap.runtime_config import RuntimeConfig


def main() -> None:
    """Set the variables, then run the script that the command line names as if Python ran it."""
    sys.argv = sys.argv[1:]
    try:
        portable = load(Path("params.yaml"), RuntimeConfig).arithmetic == "portable"
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    reason = steer(os.environ, portable=portable, stage=Path(sys.argv[0]).stem)
    if reason:
        print(
            f"runtime.arithmetic: expected an x86-64 processor with AVX2, received {reason}; "
            "the bytes of dvc.lock are not promised here",
            file=sys.stderr,
        )
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()

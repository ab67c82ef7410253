"""Runs a stage's script with the arithmetic that params.yaml asks for: python -m recap.run_stage SCRIPT ...

Libraries read variables when they are loaded, so these are set before the script loads any library. The
checks around a stage (``recap.guard``) are made here too.
"""

import os
import runpy
import sys
from pathlib import Path

from recap.core import paths
from recap.errors import exit_code
from recap.runtime.parent import end_with_parent


def main() -> None:
    """Set the variables, then run the script that the command line names as if Python ran it."""
    sys.argv = sys.argv[1:]
    sys.exit(exit_code(_run))


def _run() -> None:
    end_with_parent(os.environ)
    from recap.core.arithmetic import steer_stage
    from recap.guard.stage import guard  # it takes a while: the parent comes first

    reason = steer_stage(Path(sys.argv[0]).stem, paths.PARAMS, os.environ)
    if reason:
        print(
            f"runtime.arithmetic: expected an x86-64 processor with AVX2, received {reason}; "
            "the bytes of dvc.lock are not promised here",
            file=sys.stderr,
        )
    with guard(sys.argv, os.environ):
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()

"""Runs a stage's script with the arithmetic that params.yaml asks for: python -m recap.run_stage SCRIPT ...

Libraries read how they are to compute when they are loaded, so it is said here, before the script loads any.
Here is also what keeps a stage's outputs its own; see ``recap.guard``.
"""

import os
import runpy
import sys
from pathlib import Path

from recap.core import paths
from recap.errors import InputError, disk_fault
from recap.runtime.parent import end_with_parent


def main() -> None:
    """Set the variables, then run the script that the command line names as if Python ran it."""
    end_with_parent(os.environ)
    from recap.guard.stage import guard  # it takes a while: the parent comes first

    sys.argv = sys.argv[1:]
    try:
        _steer()
        with guard(sys.argv, os.environ):
            runpy.run_path(sys.argv[0], run_name="__main__")
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(disk_fault(error), file=sys.stderr)
        sys.exit(2)


def _steer() -> None:
    from recap.core.arithmetic import steer_stage

    reason = steer_stage(Path(sys.argv[0]).stem, paths.PARAMS, os.environ)
    if reason:
        print(
            f"runtime.arithmetic: expected an x86-64 processor with AVX2, received {reason}; "
            "the bytes of dvc.lock are not promised here",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()

"""The command line: `recap COMMAND`; bad input ends in one line a mistake and exit code 2."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from recap.cli import data, proof, repair, score, see
from recap.errors import InputError, disk_fault, memory_fault
from recap.tracking import commands as runs

ROOT = Path()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code.

    0 done, 1 a check failed, 2 bad input, 130 interrupted, 141 nobody reads on.
    """
    parser = argparse.ArgumentParser(prog="recap", description="Reproducible image captioning.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    config = commands.add_parser("config", help="check params.yaml and print it, resolved")
    config.add_argument("--check", action="store_true", help="print nothing when it is right")
    config.set_defaults(run=_config)

    page = commands.add_parser("plots-page", help="make the page that `dvc plots show` fills, offline")
    page.set_defaults(run=_plots_page)

    for part in (proof, data, see, score, runs, repair):
        part.add_commands(commands)

    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
    try:
        code = int(options.run(options) or 0)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # `recap runs | head`: who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(disk_fault(error), file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        print(memory_fault(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _config(options: argparse.Namespace) -> None:
    import dataclasses
    import json

    from recap.core.config import load_all

    groups = load_all(ROOT / "params.yaml")
    if not options.check:
        resolved = {name: dataclasses.asdict(group) for name, group in groups.items()}
        print(json.dumps(resolved, indent=2))


def _plots_page(options: argparse.Namespace) -> None:
    from recap.cli.plots_page import write_plots_page

    write_plots_page(ROOT / ".dvc" / "tmp" / "plots.html")

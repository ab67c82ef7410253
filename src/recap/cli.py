"""The command line: `recap COMMAND`; bad input ends in one line a mistake and exit code 2."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import recap.data.commands
import recap.evaluation.commands
import recap.guard.commands
import recap.proof_commands
import recap.tracking.commands
import recap.vision.commands
from recap.errors import InputError, disk_fault

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

    dependencies = commands.add_parser("deps", help="compare the deps in dvc.yaml with the import graph")
    dependencies.set_defaults(run=_dependencies)

    page = commands.add_parser("plots-page", help="make the page that `dvc plots show` fills, offline")
    page.set_defaults(run=_plots_page)

    recap.proof_commands.add_commands(commands)
    for part in (recap.data, recap.vision, recap.evaluation, recap.tracking, recap.guard):
        part.commands.add_commands(commands)

    options = parser.parse_args(arguments)
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
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _config(options: argparse.Namespace) -> None:
    import dataclasses
    import json

    from recap.config import load_all

    groups = load_all(ROOT / "params.yaml")
    if not options.check:
        resolved = {name: dataclasses.asdict(group) for name, group in groups.items()}
        print(json.dumps(resolved, indent=2))


def _dependencies(options: argparse.Namespace) -> None:
    from recap.stage_dependencies import update

    changed = update(ROOT / "dvc.yaml")
    print(f"dvc.yaml: changed {', '.join(changed)}" if changed else "dvc.yaml: up to date")


def _plots_page(options: argparse.Namespace) -> None:
    from recap.reporting.plots_page import write_plots_page

    write_plots_page(ROOT / ".dvc" / "tmp" / "plots.html")


if __name__ == "__main__":
    sys.exit(main())

"""The commands of `recap` that bring a checkout back into order."""

import argparse
import os
from pathlib import Path

ROOT = Path()


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `heal` and `restore` to the command line."""
    heal = subparsers.add_parser("heal", help="mend what a kill left of DVC's own files; make repro does it")
    heal.set_defaults(run=_heal)

    restore = subparsers.add_parser("restore", help="back to the committed settings and their outputs")
    restore.set_defaults(run=_restore)


def _heal(options: argparse.Namespace) -> None:
    from recap.guard.healing import heal

    for line in heal(ROOT):
        print(line)


def _restore(options: argparse.Namespace) -> None:
    from recap.guard.restore import restore

    for line in restore(ROOT, os.environ):
        print(line)

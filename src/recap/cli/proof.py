"""The commands `recap verify` and `recap doctor`: proof that a run is the one that was promised."""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.core import paths
from recap.errors import expecting

if TYPE_CHECKING:
    from recap.proof.verify import Finding

ROOT = Path()


def add_commands(subparsers: Any) -> None:
    """Add `verify` and `doctor` to the command line; each sets ``run``, a function of the options."""
    verify = subparsers.add_parser("verify", help="hash every output again and compare with dvc.lock")
    other = verify.add_mutually_exclusive_group()
    other.add_argument("--rerun", action="store_true", help="run everything in a fresh folder and compare")
    other.add_argument("--against", type=Path, metavar="CHECKOUT", help="compare with another checkout's run")
    form = verify.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--markdown", action="store_true", help="print a report for a pull request")
    verify.add_argument(
        "--cache", action="store_true", help="hash the objects of DVC's cache too, and remove bad ones"
    )
    verify.set_defaults(run=_verify, at_root=True)

    doctor = subparsers.add_parser("doctor", help="how this machine differs from the one that made dvc.lock")
    doctor.add_argument(
        "--record", action="store_true", help=f"write this machine to {paths.MACHINE}, beside a new dvc.lock"
    )
    doctor.set_defaults(run=_doctor, at_root=True)


def _verify(options: argparse.Namespace) -> int:
    from recap.guard.healing import fill_cache
    from recap.proof.lock import read_lock
    from recap.proof.report import as_json, as_line, as_markdown, counts
    from recap.workspace.cache import Cache

    in_lines = not (options.json or options.markdown)
    is_cache_bad = False
    for line in Cache(ROOT).remove_bad() if options.cache else ():
        print(line, file=sys.stderr, flush=True)
        is_cache_bad = True
    findings = []
    for finding in _findings(options):
        findings.append(finding)
        if in_lines and finding.verdict != "identical":
            print(as_line(finding), flush=True)
    good = {"identical", "equivalent"} if options.against else {"identical"}
    acceptable = {finding.verdict for finding in findings} <= good
    if in_lines:
        print(counts(findings) + (", by the hashes in the two dvc.lock" if options.against else ""))
        if acceptable and not options.against and (digest := read_lock(ROOT).page):
            print(f"{paths.PAGE}: made from these outputs, as its own digest says: {digest}")
    else:
        runtime = read_lock(options.against or ROOT).runtime
        print((as_json if options.json else as_markdown)(findings, acceptable, runtime))
    if is_cache_bad:
        fill_cache(ROOT)
    return 0 if acceptable and not is_cache_bad else 1


def _findings(options: argparse.Namespace) -> "Iterator[Finding]":
    from recap.proof.verify import compare, rerun, verify

    if options.rerun:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return rerun(ROOT, os.environ | {"PATH": programs, "RECAP_TRACKING": "off"})
    return compare(options.against, ROOT) if options.against else verify(ROOT)


def _doctor(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from recap.core.artifacts import write_json
    from recap.core.config import load
    from recap.proof.doctor import as_lines, examine, inspect, read_machine, read_pins
    from recap.runtime.config import RuntimeConfig

    here, path = inspect(load(ROOT / paths.PARAMS, RuntimeConfig)), ROOT / paths.MACHINE
    if options.record:
        with expecting(f"{path}: expected a file that can be written", OSError):
            write_json(path, asdict(here))
        print(f"{path}: written")
        return 0
    rows = examine(here, read_machine(path), read_pins(ROOT / paths.REQUIREMENTS), os.environ)
    print("\n".join(as_lines(rows)))
    return 1 if any(row.weight == "matters" for row in rows) else 0

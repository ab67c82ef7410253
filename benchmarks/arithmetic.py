"""What the portable arithmetic costs: seconds of the stages, as a ratio to `runtime.arithmetic: native`.

Both run this checkout's stages with the committed params, each in a folder of its own, taking turns stage by
stage; printed are seconds of whole processes, start included, and ratios. Nothing else should run beside it.

Usage: python benchmarks/arithmetic.py [--rounds 1]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.portability.emulation import ROOT, STAGES, make_folder

KINDS = ("portable", "native")


def main() -> None:
    parser = argparse.ArgumentParser(description="The pipeline under both arithmetics.")
    parser.add_argument("--rounds", type=int, default=1, help="of the whole pipeline")
    rounds: int = parser.parse_args().rounds
    if rounds < 1:
        parser.error(f"--rounds: expected at least 1, received {rounds}")
    seconds: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folders = {
                kind: make_folder(Path(name) / kind, {"runtime": {"arithmetic": kind}}) for kind in KINDS
            }
            for stage in STAGES:
                for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                    seconds.setdefault((stage, kind), []).append(run(folders[kind], stage))
    print(f"{'stage':22} {'portable':>9} {'native':>9} {'ratio':>6}")
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    for stage in STAGES:
        line(stage, *(medians[stage, kind] for kind in KINDS))
    line("all", *(sum(medians[stage, kind] for stage in STAGES) for kind in KINDS))


def run(folder: Path, stage: str) -> float:
    """Seconds that a stage takes."""
    start = time.perf_counter()
    command = ["sh", "stages/run.sh", *stage.split()]
    environment = os.environ | {"RECAP_TRACKING": "off", "DVC_ROOT": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def line(stage: str, portable: float, native: float) -> None:
    print(f"{stage:22} {portable:9.1f} {native:9.1f} {portable / native:6.2f}", flush=True)


if __name__ == "__main__":
    main()

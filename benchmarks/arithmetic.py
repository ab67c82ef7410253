"""What the portable arithmetic costs: seconds of the stages, as a ratio to `runtime.arithmetic: native`.

Both run this checkout's stages with the committed params, each in a folder of its own, taking turns stage by
stage; printed are seconds of whole processes, start included, and ratios. Nothing else should run beside it.

Usage: python benchmarks/arithmetic.py [--rounds 1]
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
DECODERS = ("rnn", "lstm", "transformer")
STAGES = (
    "fetch",
    "tokenize",
    "backbone",
    "extract",
    "reduce",
    *(f"train {name}" for name in DECODERS),
    *(f"evaluate {name}" for name in DECODERS),
    "sanity",
    "visualize",
    "report",
)
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
            folders = {kind: make_folder(Path(name) / kind, kind) for kind in KINDS}
            for stage in STAGES:
                for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                    seconds.setdefault((stage, kind), []).append(run(folders[kind], stage))
    print(f"{'stage':22} {'portable':>9} {'native':>9} {'ratio':>6}")
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    for stage in STAGES:
        line(stage, *(medians[stage, kind] for kind in KINDS))
    line("all", *(sum(medians[stage, kind] for stage in STAGES) for kind in KINDS))


def make_folder(folder: Path, kind: str) -> Path:
    """A folder with this checkout's code and params, under an arithmetic."""
    folder.mkdir()
    for name in ("src", "stages"):
        (folder / name).symlink_to(ROOT / name)
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["runtime"]["arithmetic"] = kind
    yaml.dump(params, folder / "params.yaml")
    return folder


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

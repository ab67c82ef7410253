"""Hostile input on every surface: python -m tests.fuzz [--seed N] [--cases N] [SURFACE ...] | FILE.

Prints counts; of every kind of failure the smallest input is kept, and can be run again by its file's name.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.fuzz.surfaces import SURFACES
from tests.fuzz.worker import draw, prepare, run_case

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".recap" / "fuzz"
START_SECONDS = 180  # until a worker has imported everything
GRACE_SECONDS = 20  # after which a worker that ignores its alarm is killed
AT_ONCE = 2
DIED = "the process died"
MOST_DEATHS = 10  # in a row


@dataclass
class Counts:
    """What became of the cases of a surface; ``failures`` has the number of a case by kind of failure."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0
    slowest: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)
    failures: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, number: int, answer: dict[str, Any]) -> None:
        """Count a case."""
        setattr(self, answer["outcome"], getattr(self, answer["outcome"]) + 1)
        self.slowest = max(self.slowest, answer["seconds"])
        if answer["outcome"] == "failed":
            self.failures.setdefault(answer["kind"], []).append((number, answer["detail"]))

    @property
    def cases(self) -> int:
        return self.accepted + self.refused + self.failed


class Worker:
    """A process that runs cases; it is started again when it dies or hangs."""

    def __init__(self, name: str, seed: int, errors: IO[bytes]) -> None:
        self.name = name
        self.seed = seed
        self.process: subprocess.Popen[str] | None = None
        self.errors = errors  # what processes tell, for those that die

    def ask(self, number: int) -> dict[str, Any]:
        """Run a case."""
        wait = SURFACES[self.name].seconds + GRACE_SECONDS
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.worker", self.name, str(self.seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                cwd=ROOT,
                text=True,
                start_new_session=True,
            )
            wait += START_SECONDS
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, and its answers end too
            self.process.stdin.write(f"{number}\n")
            self.process.stdin.flush()
        begin = time.monotonic()
        ready, _, _ = select.select([self.process.stdout], [], [], wait)
        line = self.process.stdout.readline() if ready else ""
        if line:
            return dict(json.loads(line))
        self.close()
        self.errors.seek(0)
        told = self.errors.read()[-2000:].decode("utf-8", "replace")
        kind = DIED if ready else "hangs"
        return {"outcome": "failed", "kind": kind, "detail": told, "seconds": time.monotonic() - begin}

    def close(self) -> None:
        """End the process."""
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGKILL)  # with the servers that it started
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process = None


def run_surface(name: str, seed: int, cases: int, first: int = 0) -> Counts:
    """Run cases of a surface, one after the other."""
    counts, deaths = Counts(), 0
    with tempfile.TemporaryFile() as errors, contextlib.closing(Worker(name, seed, errors)) as worker:
        for number in range(first, first + cases):
            answer = worker.ask(number)
            counts.add(number, answer)
            deaths = deaths + 1 if answer["kind"] == DIED else 0
            if deaths == MOST_DEATHS:
                raise RuntimeError(f"{name}: expected a surface that starts, received: {answer['detail']}")
    return counts


def keep_smallest(
    name: str, seed: int, failures: dict[str, list[tuple[int, str]]], folder: Path
) -> list[str]:
    """Write the smallest input of every kind of failure; a line each."""
    surface, lines = prepare(name), []
    for kind, found in failures.items():
        inputs = {number: draw(surface, name, seed, number) for number, _ in found[:200]}
        number = min(inputs, key=lambda number: len(inputs[number]))
        path = folder / f"{name}-{number}.input"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(inputs[number])
        detail = dict(found)[number].strip().splitlines()
        lines.append(f"{name}: {len(found)} x {kind}: {detail[-1] if detail else ''}  CASE={path}")
    return lines


def rerun(path: Path) -> int:
    """Run one kept input again and tell what becomes of it."""
    content = path.read_bytes()
    name = path.name.partition("-")[0]
    answer = run_case(prepare(name), content, SURFACES[name].seconds)
    print(answer["outcome"], answer["kind"], f"{answer['seconds']:.2f} s")
    print(answer["detail"])
    return 1 if answer["outcome"] == "failed" else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=231)
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of a whole run")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("names", nargs="*", metavar="SURFACE or FILE")
    options = parser.parse_args()
    if len(options.names) == 1 and Path(options.names[0]).is_file():
        return rerun(Path(options.names[0]).resolve())
    names = options.names or list(SURFACES)
    begin = time.monotonic()
    print(
        f"seed {options.seed}\n"
        f"{'surface':<12} {'cases':>6} {'accepted':>9} {'refused':>8} {'failed':>7} slowest"
    )

    def run(name: str) -> Counts:
        cases = max(1, round(SURFACES[name].cases * options.share))
        counts = run_surface(name, options.seed, cases, options.first)
        print(
            f"{name:<12} {counts.cases:>6} {counts.accepted:>9} {counts.refused:>8} {counts.failed:>7} "
            f"{counts.slowest:6.1f} s",
            flush=True,
        )
        return counts

    with tempfile.TemporaryDirectory(prefix="recap-fuzz-") as scratch:
        os.environ["RECAP_FUZZ_SCRATCH"] = scratch
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = dict(zip(names, pool.map(run, names), strict=True))
        total = sum(counts.cases for counts in found.values())
        failed = sum(counts.failed for counts in found.values())
        print(f"{total} cases, {failed} failed, {time.monotonic() - begin:.0f} s")
        for name, counts in found.items():
            if counts.failed:
                print("\n".join(keep_smallest(name, options.seed, counts.failures, KEPT)))
        os.chdir(ROOT)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What tracking costs: a stage's start and steps with and without it, the imports' work, served throughput.

Baselines are measured in the same run: `RECAP_TRACKING=off` for stages, one row a request for serving.

* ``--repro`` runs the pipeline in a fresh clone, with settings of ``-S`` where given, and divides the time
  spent in tracking by that of the run. All is CPU time, of the imports at the end, of starting, logging and
  ending in the stages, and of the pipeline; wall clocks of two runs differ by more than tracking costs.
* ``--serve CHECKOUT``: the model of a checkout that has run is served and asked with 1, 32 and 512 rows.
"""

import argparse
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

REPETITIONS = 7
STEPS = 1_000
PORT = 5932
STAGE = """
import sys
from time import process_time as clock  # a busy machine does not disturb it
begin = clock()
from recap.tracking.stage import execute, start
def main():
    with start("bench") as run:
        opened = clock()
        for step in range(int(sys.argv[1])):
            run.log_metrics({"loss": 1.0, "rate": 2.0}, step)
        logged = clock()
    print(opened - begin, logged - opened, clock() - logged)
execute(main)
"""


def run_stage(folder: Path, steps: int, **changes: str) -> list[float]:
    """CPU seconds of a stage: to open the run, to log, to close."""
    environment = os.environ | {"DVC_ROOT": str(folder)} | changes
    command = [sys.executable, "-c", STAGE, str(steps)]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return [float(part) for part in result.stdout.split()]


def measure_stages() -> tuple[float, float]:
    """A stage's start, steps and end, tracked and not, in turns.

    Returns:
        What tracking adds, in CPU seconds: to a stage, and to a logged step.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times: dict[str, list[list[float]]] = {"off": [], "on": []}
        for _ in range(REPETITIONS):
            for mode in times:
                times[mode].append(run_stage(folder, STEPS, RECAP_TRACKING=mode))
        off, on = ([statistics.median(column) for column in zip(*times[mode], strict=True)] for mode in times)
        print(f"start and end of a stage: {on[0] + on[2]:.3f} CPU s tracked, {off[0] + off[2]:.3f} without")
        print(f"a logged step: {on[1] / STEPS * 1e6:.1f} CPU us tracked, {off[1] / STEPS * 1e6:.1f} without")
        sync = [sys.executable, "-m", "recap.cli", "sync"]
        subprocess.run(sync, cwd=folder, env=os.environ | {"DVC_ROOT": name}, check=True)
    return on[0] + on[2] - off[0] - off[2], (on[1] - off[1]) / STEPS


def measure_mlflow() -> None:
    """What a stage would pay if it imported MLflow and connected by itself."""
    script = """
from time import process_time
from mlflow.tracking import MlflowClient
MlflowClient({!r}).search_experiments()
print(process_time())
"""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-c", script.format(f"sqlite:///{name}/mlflow.db")]
        results = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(2)]
    first, later = (float(result.stdout) for result in results)
    print(f"baseline, MLflow in the stage's own process: {first:.2f} CPU s at first, {later:.2f} after")


def measure_pipeline(settings: Sequence[str]) -> None:
    """The share of a pipeline's time that goes into tracking."""
    stage_seconds, step_seconds = measure_stages()
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "clone")
        subprocess.run(["git", "clone", "--quiet", str(root), str(folder)], check=True)
        (folder / ".venv").symlink_to(root / ".venv")
        (folder / "dvc.lock").unlink()  # everything runs
        command = [sys.executable, "-m", "dvc", "exp", "run", "--quiet"]
        for setting in settings:
            command += ["--set-param", setting]
        environment = os.environ | {"PYTHONPATH": str(folder / "src")}
        imports: dict[int, float] = {}
        begin = time.perf_counter()
        before = children_seconds()
        for step in (command, [sys.executable, "-m", "recap.cli", "sync"]):
            with subprocess.Popen(step, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
                while process.poll() is None:
                    watch_imports(folder, imports)
                    time.sleep(0.2)
            assert process.returncode == 0
        wall = time.perf_counter() - begin
        with sqlite3.connect(folder / "mlflow.db") as store:
            (stages,) = store.execute("select count(*) from runs").fetchone()
            (points,) = store.execute("select count(*) from metrics where step > 0").fetchone()
        pipeline = children_seconds() - before  # with all of tracking
    cost = sum(imports.values()) + stages * stage_seconds + points * step_seconds
    print(f"imports: {sum(imports.values()):.1f} CPU s; stages: {cost - sum(imports.values()):.1f} CPU s")
    print(f"tracking: {cost / pipeline:.1%} of the pipeline's {pipeline:.0f} CPU s")
    print(f"tracking: {cost / wall:.1%} of the {wall:.0f} s on the clock")


def children_seconds() -> float:
    """CPU seconds of the processes that ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def watch_imports(folder: Path, imports: dict[int, float]) -> None:
    """Note the CPU seconds that imports into MLflow have used in a checkout: process -> seconds."""
    for process in psutil.process_iter(["cmdline", "cwd", "cpu_times"]):
        words = process.info["cmdline"] or []
        if process.info["cwd"] == str(folder) and ("stages/record.py" in words or "sync" in words):
            times = process.info["cpu_times"]
            imports[process.pid] = times.user + times.system


def ask(rows: list[Mapping[str, object]]) -> int:
    """Send rows to the server; returns how many captions come back."""
    body = json.dumps({"dataframe_records": rows}).encode()
    address = f"http://127.0.0.1:{PORT}/invocations"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        return len(json.load(reply)["predictions"])


def measure_serving(checkout: Path, decoder: str) -> None:
    """Captions a second of a served model, by rows a request."""
    from recap.core.feature_files import open_features

    features = open_features(checkout / "data" / "features" / "test.h5")
    rows: list[Mapping[str, object]] = [
        {"features": [float(value) for value in features[row % len(features)]]} for row in range(512)
    ]
    command = [sys.executable, "-m", "recap.cli", "serve", decoder, "--port", str(PORT)]
    with subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            until = time.monotonic() + 300
            while True:
                try:
                    ask(rows[:1])
                    break
                except OSError:
                    if time.monotonic() > until or server.poll() is not None:
                        raise
                    time.sleep(0.5)
            rates = {}
            for size in (1, 32, 512):
                requests = max(3, 64 // size)
                begin = time.perf_counter()
                for _ in range(requests):
                    assert ask(rows[:size]) == size
                rates[size] = requests * size / (time.perf_counter() - begin)
                ratio = rates[size] / rates[1]
                print(
                    f"{decoder}, {size} rows a request: {rates[size]:.0f} captions/s, {ratio:.1f} times one"
                )
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description="What tracking costs.")
    parser.add_argument("--serve", type=Path, metavar="CHECKOUT")
    parser.add_argument("--decoder", default="lstm")
    parser.add_argument("--repro", action="store_true")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="PARAM=VALUE")
    options = parser.parse_args()
    if options.repro:
        measure_pipeline(options.settings)
    elif options.serve:
        measure_serving(options.serve.resolve(), options.decoder)
    else:
        measure_stages()
        measure_mlflow()


if __name__ == "__main__":
    main()

"""kill -9 at random moments: what has its final name is whole, and another run ends with the same bytes."""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.synthetic_coco import write_synthetic_coco

from recap.backbones.build import build_backbone, save_backbone
from recap.core.artifacts import write_png
from recap.core.feature_files import write_features
from recap.core.raw_data import Source, write_captions, write_source

KILLS = 50

pytestmark = pytest.mark.slow


class Runner:
    """Starts stages in forks of one process; see run_stage.py."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("run_stage.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, *line: str, kill_after: float | None = None) -> bool:
        """Run a stage, killed after some seconds unless it was faster; returns whether it ended by itself."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(child, signal.SIGKILL)
        status = int(self.process.stdout.readline())
        if status not in (0, signal.SIGKILL):
            pytest.fail(self.log.read_text()[-2000:])
        return status == 0


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(tmp_path / "runner.log")
    yield runner
    assert runner.process.stdin is not None
    assert runner.process.stdout is not None
    runner.process.stdin.close()
    runner.process.wait()
    runner.process.stdout.close()


def published(folder: Path) -> dict[str, str]:
    """Digests of the files under their final names: not those in the making, hidden, partial or unpacked."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not name.parts[-1].startswith(".") and name.parts[0] != "unpacked":
            digests[str(name)] = hashlib.md5(path.read_bytes()).hexdigest()
    return digests


def kill_and_rerun(run: Callable[..., bool], folder: Path, seed: int) -> None:
    """Kill at random moments, look at what is there, run to the end, compare."""
    assert run()
    start = time.perf_counter()
    assert run()
    seconds = time.perf_counter() - start
    reference = published(folder)
    generator = random.Random(seed)
    killed = 0
    for _ in range(KILLS):
        killed += not run(kill_after=generator.uniform(0, seconds))
        for name, digest in published(folder).items():
            assert reference[name] == digest, f"{name} is visible and not whole"
        if generator.random() < 0.3:  # else the next run starts from what the kill left
            assert run()
            assert published(folder) == reference
    assert run()
    assert published(folder) == reference
    everything = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert everything == set(reference), "a run leaves nothing but its outputs"
    assert killed > KILLS / 3


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_fetch(tmp_path: Path, runner: Runner) -> None:
    write_synthetic_coco(tmp_path / "served", scale=0.005, seed=0)
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    url = f"http://127.0.0.1:{server.server_port}"
    raw, downloads = tmp_path / "raw", tmp_path / "downloads"
    generator = random.Random(1)

    def run(kill_after: float | None = None) -> bool:
        if generator.random() < 0.5:  # half of the runs download again, or go on with a part
            for path in downloads.glob("*.zip"):
                path.unlink()
        return runner.run("fetch", url, str(raw), str(downloads), kill_after=kill_after)

    try:
        kill_and_rerun(run, raw, seed=0)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    for path in downloads.glob("*.zip"):
        assert path.read_bytes() == (tmp_path / "served" / path.name.partition("-")[2]).read_bytes()


def test_extract(tmp_path: Path, runner: Runner) -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 150), ("validation", 40), ("test", 40)):
        images = [{"id": row, "file_name": f"{row}.png"} for row in range(count)]
        for image in images:
            pixels = generator.integers(0, 255, (64, 64, 3), np.uint8)
            write_png(tmp_path / "raw" / "images" / split / str(image["file_name"]), pixels)
        annotations = [{"id": row, "image_id": row, "caption": "noise"} for row in range(count)]
        write_captions(tmp_path / "raw", split, images, annotations)
    write_source(tmp_path / "raw", Source("folder", True, False, False, False, "original"))
    description = {"name": "small_vgg", "feature_dim": 32, "heads": {"class": ["a", "b"]}}
    torch.manual_seed(0)
    backbone = build_backbone(description)
    save_backbone(tmp_path / "backbone", description, backbone.state_dict())
    folders = [str(tmp_path / name) for name in ("raw", "backbone", "features", "work")]
    kill_and_rerun(
        lambda kill_after=None: runner.run("extract", *folders, kill_after=kill_after),
        tmp_path / "features",
        seed=1,
    )


def test_reduce(tmp_path: Path, runner: Runner) -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 20_000), ("validation", 5_000), ("test", 5_000)):
        features = generator.normal(size=(count, 512)).astype(np.float32)
        write_features(tmp_path / "features" / f"{split}.h5", features)
    folders = [str(tmp_path / name) for name in ("features", "reduced")]
    kill_and_rerun(
        lambda kill_after=None: runner.run("reduce", *folders, kill_after=kill_after),
        tmp_path / "reduced",
        seed=2,
    )

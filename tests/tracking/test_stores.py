"""Stores that hang, refuse, or run out of disk: outputs and time are the same, sync fills in later."""

import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@contextmanager
def misbehaving(port: int, behaviour: str) -> Iterator[None]:
    """A server that answers every request with 503, or not at all."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            if behaviour == "hangs":
                over.wait()
            else:
                super().handle()

        def do_GET(self) -> None:
            self.send_error(503)

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            pass  # clients give up

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def real_server(port: int, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """An MLflow server on SQLite."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    variables = environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    variables.pop("MLFLOW_TRACKING_URI", None)
    with (
        open(folder / "server.log", "wb") as log,
        subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log) as process,
    ):
        try:
            until = time.monotonic() + 120
            while b"Application startup complete" not in (folder / "server.log").read_bytes():
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def test_a_server_that_hangs_or_refuses(tmp_path: Path, make_checkout: Callable[[Path], Any]) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    begin = time.monotonic()
    checkout.dvc("repro", RECAP_TRACKING="off")
    seconds_without = time.monotonic() - begin
    lock = (checkout.root / "dvc.lock").read_bytes()

    port = free_port()
    checkout.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    with misbehaving(port, "hangs"):
        begin = time.monotonic()
        checkout.dvc("repro", "--force")
        assert time.monotonic() - begin < seconds_without + 30, "the pipeline does not wait"
        begin = time.monotonic()
        result = checkout.sync("--within", "5.5", code=1)
        assert time.monotonic() - begin < 30
        assert re.fullmatch(r"warning: MLflow: .*slow.*; 6 runs wait.*\n", result.stderr)
        message = checkout.dvc("repro", "--force", "--single-item", "report").stderr
        assert "warning: MLflow: the store is slow" in message, "the stages say it too"
    with misbehaving(port, "refuses"):
        result = checkout.sync("--within", "30", code=1)
        assert re.fullmatch(r"warning: MLflow: .*(503|Connection).*\n", result.stderr)
    assert (checkout.root / "dvc.lock").read_bytes() == lock

    with real_server(port, tmp_path, checkout.environment):
        checkout.sync()
        found = checkout.runs()
        (parent,) = found.parents
        assert (parent.info.status, parent.data.tags["recap.complete"]) == ("FINISHED", "true")
        children = found.children(parent)
        assert {name: len(runs) for name, runs in children.items()} == {
            "fetch": 1, "train/lstm": 1, "train/rnn": 1, "evaluate/lstm": 1, "evaluate/rnn": 1, "report": 2,
        }  # fmt: skip
        assert "captions.json" in found.artifacts(children["evaluate/lstm"][0])
        assert {run.info.status for run in found.all} == {"FINISHED"}


def test_a_store_on_a_full_disk(tmp_path: Path, make_checkout: Callable[[Path], Any]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        checkout = make_checkout(tmp_path / "checkout")
        checkout.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{disk}/mlflow.db"
        checkout.dvc("repro")
        result = checkout.sync(code=1)
        assert "warning: MLflow: " in result.stderr
        assert "6 runs wait" in result.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        checkout.sync()
        (parent,) = checkout.runs().parents
        assert parent.data.tags["recap.complete"] == "true"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_without_room_for_journals(tmp_path: Path, make_checkout: Callable[[Path], Any]) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    disk = checkout.root / ".recap"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "none", str(disk)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        result = checkout.dvc("repro")
        assert "warning: MLflow: OSError" in result.stderr
        assert (checkout.root / "reports/index.html").read_text() == "<h1>report</h1>"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    checkout.sync()
    (parent,) = checkout.runs().parents
    assert parent.data.tags["recap.complete"] == "true", "what the journals lack is taken from dvc.lock"

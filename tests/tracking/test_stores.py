"""Stores that hang, refuse, or run out of disk: outputs and time are the same, sync fills in later."""

import http.server
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.servers import real_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


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
def slow(port: int, server: int, seconds: float) -> Iterator[list[str]]:
    """A way to a server that answers each request so much later; gives the requests that went through."""
    passed: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            time.sleep(seconds)
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            request = urllib.request.Request(
                f"http://127.0.0.1:{server}{self.path}", body, headers, method=self.command
            )
            try:
                answer = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                answer = error
            with answer, suppress(OSError):  # the client gave up
                content = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                passed.append(f"{self.command} {self.path}")

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield passed
        proxy.shutdown()
        thread.join()


def test_a_server_that_hangs_or_refuses(
    tmp_path: Path, make_checkout: Callable[[Path], Any], free_port: Callable[[], int]
) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    begin = time.monotonic()
    checkout.dvc("repro", RECAP_TRACKING="off")
    seconds_without = time.monotonic() - begin
    lock = (checkout.root / "dvc.lock").read_bytes()

    port = free_port()
    checkout.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    with misbehaving(port, "hangs"):
        begin = time.monotonic()
        message = checkout.dvc("repro", "--force", RECAP_RECORD_SECONDS="5").stderr
        assert time.monotonic() - begin < seconds_without + 30, "the pipeline waits no longer than that"
        assert (
            message.count("warning") == message.count("warning: MLflow: the store is slow; 6 runs wait") == 1
        )
        begin = time.monotonic()
        result = checkout.sync("--within", "5.5", code=1)
        assert time.monotonic() - begin < 30
        assert re.fullmatch(r"warning: MLflow: .*slow.*; 6 runs wait.*\n", result.stderr)
        checkout.dvc("repro", "--force", "--single-item", "report")
    with misbehaving(port, "refuses"):
        result = checkout.sync("--within", "30", code=1)
        assert re.fullmatch(r"warning: MLflow: .*(503|Connection).*\n", result.stderr)
    assert (checkout.root / "dvc.lock").read_bytes() == lock

    with real_server(port, tmp_path, checkout.environment):
        checkout.sync()
        found = checkout.runs()
        (parent,) = found.parents
        assert parent.info.status == "FINISHED"
        children = found.children(parent)
        assert {name: len(runs) for name, runs in children.items()} == {
            "fetch": 1, "train/lstm": 1, "train/rnn": 1, "evaluate/lstm": 1, "evaluate/rnn": 1, "report": 2,
        }  # fmt: skip
        assert "captions.json" in found.artifacts(children["evaluate/lstm"][0])
        assert {run.info.status for run in found.all} == {"FINISHED"}


def test_a_server_that_takes_ten_seconds_a_request(
    tmp_path: Path, make_checkout: Callable[[Path], Any], free_port: Callable[[], int]
) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    begin = time.monotonic()
    checkout.dvc("repro", RECAP_TRACKING="off")
    seconds_without = time.monotonic() - begin
    lock = (checkout.root / "dvc.lock").read_bytes()
    port, server = free_port(), free_port()
    with real_server(server, tmp_path, checkout.environment):
        checkout.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
        with slow(port, server, 10) as passed:
            begin = time.monotonic()
            checkout.dvc("repro", "--force", RECAP_RECORD_SECONDS="12")
            assert time.monotonic() - begin < seconds_without + 40, "the pipeline waits no longer than that"
            assert (checkout.root / "dvc.lock").read_bytes() == lock
            result = checkout.sync("--within", "25", code=1)
            assert re.fullmatch(r"warning: MLflow: .*slow.*; [56] runs wait.*\n", result.stderr)
            assert passed, "the store did answer, late"
        with slow(port, server, 0):
            checkout.sync()
            time.sleep(12)  # what the clients that gave up had asked for is done by then
            checkout.sync()
            (parent,) = checkout.runs().parents
            assert parent.info.status == "FINISHED"
            children = checkout.runs().children(parent)
            assert [len(runs) for runs in children.values()] == 6 * [1]


def test_a_server_on_postgresql(
    tmp_path: Path, make_checkout: Callable[[Path], Any], free_port: Callable[[], int], postgresql: str
) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    port = free_port()
    with real_server(port, tmp_path, checkout.environment, postgresql):
        checkout.environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
        checkout.dvc("repro")
        checkout.edit("width: 3", "width: 5")
        checkout.dvc("repro")
        checkout.sync()
        found = checkout.runs()
        assert len(found.parents) == 2
        for parent in found.parents:
            assert parent.info.status == "FINISHED"
            assert [len(runs) for runs in found.children(parent).values()] == 6 * [1]
        reused = {
            name
            for name, runs in found.children(found.parents[0]).items()
            if "recap.reused" in runs[0].data.tags
        }
        assert reused == {"fetch", "train/lstm", "evaluate/lstm"}
        (run,) = found.children(found.parents[0])["train/lstm"]
        points = found.client.get_metric_history(run.info.run_id, "loss")
        assert [point.step for point in points] == [1, 2, 3, 4, 5]
        assert "captions.json" in found.artifacts(found.children(found.parents[0])["evaluate/lstm"][0])
        assert checkout.sync().stdout == "", "a second sync adds nothing"
        assert "rnn 0.500" in checkout.recap("runs").stdout


def test_a_store_on_a_full_disk(tmp_path: Path, make_checkout: Callable[[Path], Any]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        checkout = make_checkout(tmp_path / "checkout")
        checkout.environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{disk}/mlflow.db"
        assert "warning: MLflow: " in checkout.dvc("repro").stderr
        result = checkout.sync(code=1)
        assert "warning: MLflow: " in result.stderr
        assert "6 runs wait" in result.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        checkout.sync()
        (parent,) = checkout.runs().parents
        assert parent.info.status == "FINISHED"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_without_room_for_journals(tmp_path: Path, make_checkout: Callable[[Path], Any]) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    disk = checkout.root / ".recap"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12k", "none", str(disk)]
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
    assert parent.info.status == "FINISHED", "what the journals lack is taken from dvc.lock"

"""Servers that tests of tracking start: MLflow, PostgreSQL, S3."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
"""What a client of the S3 server needs."""


@pytest.fixture
def postgresql(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """The address of a database of its own; the test skips, visibly, without PostgreSQL or its driver."""
    found = shutil.which("initdb") or next(
        iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None
    )
    if found is None or importlib.util.find_spec("psycopg2") is None:
        pytest.skip("needs PostgreSQL and psycopg2 (apt-get install postgresql; pip install psycopg2-binary)")
    programs, port = Path(found).resolve().parent, free_port()
    with tempfile.TemporaryDirectory(prefix="recap-postgresql-") as name:
        data = Path(name, "data")
        data.mkdir(mode=0o700)
        user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(name, "nobody")
            shutil.chown(data, "nobody")
            user = {"user": "nobody"}
        make = [programs / "initdb", "--pgdata", data, "--username", "recap", "--auth", "trust"]
        subprocess.run(make, check=True, capture_output=True, cwd=name, **user)
        command = [programs / "postgres", "-D", data, "-p", str(port), "-k", name, "-h", "127.0.0.1"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=name, **user) as process:
            try:
                ready = [programs / "pg_isready", "--host", "127.0.0.1", "--port", str(port)]
                until = time.monotonic() + 60
                while subprocess.run(ready, capture_output=True).returncode:
                    assert time.monotonic() < until
                    time.sleep(0.1)
                yield f"postgresql+psycopg2://recap@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGINT)  # a fast shutdown


@pytest.fixture
def s3(free_port: Callable[[], int], tmp_path: Path) -> Iterator[str]:
    """The address of a server that speaks S3, with the bucket `outputs`."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("dvc_s3") is None:
        pytest.skip("needs dvc-s3 and moto, which are absent (README.md, Development)")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with open(tmp_path / "moto.log", "wb") as log:
        server = subprocess.Popen(command, env=os.environ | KEYS, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                urlopen(f"{address}/moto-api/", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "moto.log").read_text()
                time.sleep(0.1)
        script = f"import boto3; boto3.client('s3', endpoint_url={address!r}).create_bucket(Bucket='outputs')"
        subprocess.run([sys.executable, "-c", script], env=os.environ | KEYS, check=True)
        yield address
    finally:
        server.kill()
        server.wait()


@contextmanager
def real_server(
    port: int,
    folder: Path,
    environment: dict[str, str],
    database: str | None = None,
    artifacts: str | None = None,
) -> Iterator[None]:
    """An MLflow server, on SQLite and a folder unless a database and a place for artifacts are given."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", database or f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", artifacts or str(folder / "artifacts"), "--workers", "1"]
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

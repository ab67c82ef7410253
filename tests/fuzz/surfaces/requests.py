"""Requests to what `recap serve` serves: a real server process on the loopback address, byte by byte."""

import base64
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from tests.fuzz.mutations import TEXTS, json_bytes, mutate_bytes, mutate_json, odd_value
from tests.fuzz.surface import Failed
from tests.fuzz.surfaces.arguments import ROOT, write_models

from recap.errors import InputError

MEMORY = 1 << 30  # bytes above what the server has when it is ready
PATIENCE = 0.5  # seconds for an answer to a request that may not be whole
HEADERS = (
    *(
        "Content-Type: text/csv",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: \xff",
        "Host: evil",
    ),
    *(
        "Content-Length: -1",
        "Content-Length: 99999999999",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
    ),
    *("Host: 127.0.0.1\r\nHost: evil", "Connection: Upgrade\r\nUpgrade: websocket", "X: " + "x" * 100_000),
    *("Content-Encoding: gzip", "Cookie: \x00", " folded: x", ": no name"),
)
PATHS = (
    "/invocations",
    "/captions",
    "/pixels",
    "/about",
    "/",
    "/ping",
    "/version",
    "/../etc/passwd",
    "/invocations/",
    "http://evil/",
    "*",
    "/%00",
)
FORM = b"\r\n".join(
    [
        *(b"--x", b'Content-Disposition: form-data; name="image"; filename="a.gif"', b""),
        b"GIF87a\x01\x00\x01\x00\x80\x01\x00\x00\x00\x00ccc,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
        *(b"--x", b'Content-Disposition: form-data; name="captioner"', b"", b"lstm"),
        *(b"--x", b'Content-Disposition: form-data; name="word"', b"", b"0"),
        *(b"--x", b'Content-Disposition: form-data; name="caption"', b"", b"a cat", b"--x--", b""),
    ]
)
METHODS = ("POST", "GET", "PUT", "HEAD", "OPTIONS", "CONNECT", "post", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


class Requests:
    def __init__(self) -> None:
        picture = Path("shown/a.png")
        picture.parent.mkdir()
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(picture)
        self.image = base64.b64encode(picture.read_bytes()).decode()
        write_models(Path())
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self._start()

    def _start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "recap.cli",
            "serve",
            "lstm",
            "--port",
            str(self.port),
            "--images",
            "shown",
        ]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        self.server = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                if self._ask(
                    b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                ).startswith(b"HTTP/1.1 200"):
                    break
            except OSError:
                time.sleep(0.2)
        self.process = psutil.Process(self.server.pid)
        self.memory = self.process.memory_info().rss

    def draw(self, generator: random.Random) -> bytes:
        row: dict[str, Any] = {"features": [0.5] * 8}
        if generator.random() < 0.4:
            row = {"image": generator.choice((self.image, "a.png", *TEXTS))}
        params: dict[str, Any] = {"search": "sample", "max_length": 3, "top_k": 2, "banned_words": ["a"]}
        request: dict[str, Any] = {"dataframe_records": [row] * generator.choice((1, 1, 3))}
        if generator.random() < 0.1:
            request = {"dataframe_records": generator.choice((row, [[0.5] * 8]))}
        if generator.random() < 0.5:
            request["params"] = params
        kind = generator.randrange(6)
        body = json_bytes(mutate_json(request, generator) if kind <= 2 else request)
        if kind == 1:
            names = (
                "search",
                "beam_width",
                "top_p",
                "temperature",
                "seed",
                "groups",
                "nonsense",
                "candidates",
            )
            request["params"] = {generator.choice(names): odd_value(generator) for _ in range(2)}
            body = json_bytes(request)
        if kind == 3:
            body = mutate_bytes(body, generator)
        head = [f"POST {PATHS[0]} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
        if kind == 5:
            body = mutate_bytes(FORM, generator) if generator.random() < 0.9 else FORM
            head = [
                f"POST {generator.choice(PATHS[:3])} HTTP/1.1",
                "Host: 127.0.0.1",
                "Content-Type: multipart/form-data; boundary=x",
            ]
        head.append(f"Content-Length: {len(body)}")
        if kind == 4:
            head[0] = f"{generator.choice(METHODS)} {generator.choice(PATHS)} HTTP/1.1"
            head[generator.randrange(1, 4)] = generator.choice(HEADERS)
        content = "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body
        return mutate_bytes(content, generator) if kind == 4 and generator.random() < 0.5 else content

    def run(self, content: bytes) -> bool:
        if self.server.poll() is not None:
            self._start()
        answer = self._ask(content)
        if self.server.poll() is not None:
            raise Failed(f"expected a server that lives, received its exit code {self.server.returncode}")
        if self.process.memory_info().rss > self.memory + MEMORY:
            raise MemoryError("the server takes more than its memory")
        head, _, body = answer.partition(b"\r\n\r\n")
        status = head.split(b" ")[1:2]
        if b"Traceback" in body or (status and status[0].startswith(b"5")):
            raise Failed(f"expected no answer of 500 and no traceback, received {answer[:600]!r}")
        if status and status[0].startswith(b"4") and len(body) > 1000:
            raise Failed(f"expected a line, received {body[:600]!r}")
        if status == [b"200"]:
            return True
        raise InputError(body.decode("utf-8", "replace").replace("\n", " ") or "the connection is closed")

    def _ask(self, content: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            answer = b""
            try:
                connection.sendall(content)
                head, _, body = content.partition(b"\r\n\r\n")
                if b"Content-Length: %d\r\n" % len(body) not in head:
                    connection.settimeout(PATIENCE)  # the server may wait for more
                while piece := connection.recv(65_536):
                    answer += piece
            except (ConnectionResetError, BrokenPipeError, TimeoutError):
                pass
            return answer

"""Images from a real HTTP server: good ones, and every way in which a URL disappoints."""

import contextlib
import io
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recap.reference import image_utils
from recap.reference.image_utils import SQUEEZENET_MEAN, SQUEEZENET_STD, image_from_url

PIXELS = np.random.default_rng(0).integers(256, size=(5, 7, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def bomb() -> bytes:
    """A small PNG that says it has 30,000 x 30,000 pixels."""
    header = struct.pack(">4sIIBBBBB", b"IHDR", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return png(PIXELS).replace(png(PIXELS)[8:33], chunk)


class Handler(BaseHTTPRequestHandler):
    asked: dict[str, int]
    stop: threading.Event

    def do_GET(self) -> None:
        times = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if (self.path == "/busy-twice" and times <= 2) or self.path == "/always-busy":
            self.send_error(503)
        elif self.path == "/gone":
            self.send_error(404)
        elif self.path == "/moved":
            self.send_response(301)
            self.send_header("Location", "/good")
            self.end_headers()
        elif self.path == "/page":
            self.answer(b"<html>not an image</html>")
        elif self.path == "/cut-short":
            self.answer(png(PIXELS)[:-60])
        elif self.path == "/breaks-off":
            self.answer(png(PIXELS)[:20], length=1000)
        elif self.path == "/large":
            self.answer(png(PIXELS) + bytes(200_000))
        elif self.path == "/large-unannounced":
            self.answer(png(PIXELS) + bytes(200_000), length=None)
        elif self.path == "/bomb":
            self.answer(bomb())
        elif self.path == "/silent":
            self.stop.wait(20)
        elif self.path == "/drips":
            self.drip(png(PIXELS))
        elif self.path == "/grey":
            self.answer(png(PIXELS[:, :, 0]))
        else:
            self.answer(png(PIXELS))

    def answer(self, body: bytes, length: int | None = -1) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)

    def drip(self, body: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        for byte in body:
            if self.stop.wait(0.05):
                return
            self.wfile.write(bytes([byte]))

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # of a client that gave up, as it should
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(image_utils, "FIRST_WAIT", 0.01)
    handler = type("H", (Handler,), {"asked": {}, "stop": threading.Event()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        handler.stop.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


def fetch(server: ThreadingHTTPServer, path: str, **options: object) -> np.ndarray | None:
    settings = {"cache": None, "timeout": 0.5, "max_bytes": 100_000} | options
    return image_from_url(f"http://127.0.0.1:{server.server_port}{path}", **settings)  # type: ignore[arg-type]


def asked(server: ThreadingHTTPServer, path: str) -> int:
    return server.RequestHandlerClass.asked.get(path, 0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/good", "/moved", "/busy-twice"])
def test_an_image_arrives_whole(server: ThreadingHTTPServer, path: str) -> None:
    np.testing.assert_array_equal(fetch(server, path), PIXELS)


def test_a_grey_image_gets_three_channels(server: ThreadingHTTPServer) -> None:
    np.testing.assert_array_equal(fetch(server, "/grey"), np.repeat(PIXELS[:, :, :1], 3, axis=2))


@pytest.mark.parametrize(
    ("path", "times"),
    [
        ("/gone", 1),
        ("/page", 1),
        ("/cut-short", 1),
        ("/large", 1),
        ("/large-unannounced", 1),
        ("/bomb", 1),
        ("/always-busy", 3),
        ("/breaks-off", 3),
    ],
)
def test_what_is_no_image_is_none(server: ThreadingHTTPServer, path: str, times: int) -> None:
    assert fetch(server, path, max_bytes=150_000) is None
    assert asked(server, path) == times


@pytest.mark.parametrize("path", ["/silent", "/drips"])
def test_a_slow_server_is_given_up(server: ThreadingHTTPServer, path: str) -> None:
    start = time.monotonic()
    assert fetch(server, path, timeout=0.3, attempts=2) is None
    assert time.monotonic() - start < 3
    assert asked(server, path) == 2


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x.jpg", "file:///etc/hostname", "nonsense", "http://", ""]
)
def test_a_dead_url_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_utils, "FIRST_WAIT", 0.01)
    assert image_from_url(url, cache=None, timeout=0.5) is None


def test_an_image_is_asked_for_once(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    for _ in range(2):
        np.testing.assert_array_equal(fetch(server, "/good", cache=tmp_path / "images"), PIXELS)
    assert asked(server, "/good") == 1
    (kept,) = (tmp_path / "images").iterdir()
    kept.write_bytes(b"broken since")
    np.testing.assert_array_equal(fetch(server, "/good", cache=tmp_path / "images"), PIXELS)
    assert asked(server, "/good") == 2


def test_what_is_no_image_is_not_kept(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    assert fetch(server, "/page", cache=tmp_path / "images") is None
    assert not (tmp_path / "images").exists()


def test_a_cache_that_cannot_be_written_costs_a_warning(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="the image is not kept"):
        image = fetch(server, "/good", cache=tmp_path / "file" / "images")
    np.testing.assert_array_equal(image, PIXELS)


def test_normalisation_is_imagenets() -> None:
    np.testing.assert_allclose(SQUEEZENET_MEAN, [0.485, 0.456, 0.406])
    np.testing.assert_allclose(SQUEEZENET_STD, [0.229, 0.224, 0.225])
    assert SQUEEZENET_MEAN.dtype == SQUEEZENET_STD.dtype == np.float32

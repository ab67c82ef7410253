import io
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recap.sources.images_on_demand import fetch_images


@pytest.fixture
def photograph() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(file, "JPEG")
    return file.getvalue()


def test_images_come_once_and_dead_urls_are_told(tmp_path: Path, server, reply, photograph: bytes) -> None:
    server.replies = {
        "/a.jpg": [reply(photograph)],
        "/cut.jpg": [reply(photograph[:-40])],
        "/page.jpg": [reply(b"<html>this photo is no longer available</html>")],
        "/moved.jpg": [reply(status=302, headers={"Location": "/a.jpg"})],
        "/loop.jpg": [reply(status=302, headers={"Location": "/loop.jpg"})],
    }
    names = ["a", "cut", "page", "moved", "loop", "gone", "a"]
    urls = [f"{server.url}/{name}.jpg" for name in names]
    found = fetch_images([*urls, "http://127.0.0.1:9/b.jpg", "nonsense"], tmp_path, timeout=5, offline=False)
    results = [found[url] for url in urls]
    assert results[1:3] == ["not an image", "not an image"]
    assert results[4:6] == ["unreachable", "HTTP 404"]
    assert found["http://127.0.0.1:9/b.jpg"] == found["nonsense"] == "unreachable"
    for result in (results[0], results[3]):
        assert isinstance(result, Path)
        assert result.read_bytes() == photograph
    assert len(list(tmp_path.iterdir())) == 2
    asked = len(server.requests)
    again = fetch_images(urls[:2], tmp_path, timeout=5, offline=True)
    assert again[urls[0]] == results[0]
    assert again[urls[1]] == "offline"
    assert len(server.requests) == asked


def test_a_silent_server_costs_the_time_out_and_no_more(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        urls = [f"http://127.0.0.1:{listener.getsockname()[1]}/{number}.jpg" for number in range(4)]
        start = time.monotonic()
        found = fetch_images(urls, tmp_path, timeout=0.3, offline=False)
    assert set(found.values()) == {"no answer"}
    assert time.monotonic() - start < 5


def test_nothing_to_fetch(tmp_path: Path) -> None:
    assert fetch_images([], tmp_path, timeout=1, offline=False) == {}

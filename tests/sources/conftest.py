"""A small archive in the CS231n layout that a test can spoil, and a server that misbehaves on purpose."""

import contextlib
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

WORDS = ["<NULL>", "<START>", "<END>", "<UNK>", "a", "cat", "on", "grass"]
IMAGES = {"train": 6, "val": 3}
WIDTH = 5


def hdf5_bytes(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as hdf5:
        for name, values in arrays.items():
            hdf5.create_dataset(name, data=values)
    return file.getvalue()


def small_members() -> dict[str, bytes]:
    """The members of a small archive by file name."""
    generator = np.random.default_rng(0)
    caption = [1, 4, 5, 6, 7, 2, 0, 0]
    short = [1, 4, 3, 2, 0, 0, 0, 0]
    captions: dict[str, Any] = {}
    members: dict[str, bytes] = {}
    first_id = {"train": 1, "val": 101}
    for split, count in IMAGES.items():
        captions[f"{split}_captions"] = np.array([caption, short] * count, np.int32)
        captions[f"{split}_image_idxs"] = np.repeat(np.arange(count, dtype=np.int32), 2)
        features = generator.normal(size=(count, WIDTH)).astype(np.float32)
        members[f"{split}2014_vgg16_fc7.h5"] = hdf5_bytes({"features": features})
        ids = range(first_id[split], first_id[split] + count)
        names = [f"coco/images/{split}2014/COCO_{split}2014_{number:012}.jpg" for number in ids]
        members[f"{split}2014_images.txt"] = "".join(f"{name}\n" for name in names).encode()
        urls = [f"http://127.0.0.1/{number}.jpg\n" for number in ids]
        members[f"{split}2014_urls.txt"] = "".join(urls).encode()
    members["coco2014_captions.h5"] = hdf5_bytes(captions)
    numbers = {word: number for number, word in enumerate(WORDS)}
    members["coco2014_vocab.json"] = json.dumps({"idx_to_word": WORDS, "word_to_idx": numbers}).encode()
    return members


@pytest.fixture
def members() -> dict[str, bytes]:
    return small_members()


@pytest.fixture
def hdf5() -> Callable[[dict[str, Any]], bytes]:
    """The bytes of an HDF5 file with the given arrays."""
    return hdf5_bytes


@pytest.fixture
def make_archive(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Zip members, in the folder that the course's archive has."""

    def make(members: dict[str, bytes]) -> Path:
        path = tmp_path / "coco_captioning.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(f"coco_captioning/{name}", content)
        return path

    return make


@dataclass
class Reply:
    """How the server answers one request."""

    content: bytes = b""
    status: int = 200
    tag: str | None = '"1"'
    changed: str | None = None
    ranges: bool = True
    cut_after: int | None = None
    """Closes the connection after so many bytes of the body."""
    length: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    ignore_if_range: bool = False


@dataclass
class Server:
    """A server on the loopback that answers each path with its replies in turn, the last one for ever."""

    url: str
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: list[tuple[int, int]] = field(default_factory=list)
    """First byte and number of bytes of each body that went out."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        server: Server = self.server.state  # type: ignore[attr-defined]
        server.requests.append((self.path, dict(self.headers)))
        replies = server.replies.get(self.path) or [Reply(status=404)]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        first, status, body = 0, reply.status, reply.content
        wanted = self.headers.get("Range")
        confirmed = self.headers.get("If-Range") in (None, reply.tag, reply.changed) or reply.ignore_if_range
        headers = dict(reply.headers)
        if wanted and reply.ranges and status == 200 and confirmed:
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            status = 206 if first < len(body) else 416
            tail = f"{first}-{len(body) - 1}" if status == 206 else "*"
            headers["Content-Range"] = f"bytes {tail}/{len(body)}"
            body = body[first:] if status == 206 else b""
        if reply.tag:
            headers["ETag"] = reply.tag
        if reply.changed:
            headers["Last-Modified"] = reply.changed
        if reply.length:
            headers["Content-Length"] = str(len(body))
        else:
            headers["Connection"] = "close"
            self.close_connection = True
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        cut = body if reply.cut_after is None else body[: reply.cut_after]
        server.sent.append((first, len(cut)))  # before anything is written: then the client may be done
        self.end_headers()
        if len(cut) < len(body):
            self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.wfile.write(cut)


@pytest.fixture
def server() -> Iterator[Server]:
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    listener.daemon_threads = True
    state = Server(f"http://127.0.0.1:{listener.server_port}")
    listener.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply

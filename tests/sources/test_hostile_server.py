"""Whatever a server, a leftover or a registry says: an end in bounded time and size, and one line."""

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import recap.sources.download
from recap.cli.main import main
from recap.errors import InputError
from recap.sources import transfer
from recap.sources.download import Files, download, locate
from recap.sources.images_on_demand import fetch_images
from recap.sources.registry import RemoteFile, check_url, find_remote, pin

Act = Callable[[socket.socket, threading.Event], None]
HEAD = b'HTTP/1.1 200 OK\r\nETag: "1"\r\n'
NO_URLS = [
    "http://[x",
    "http://[::1",
    "http://a:99999/x",
    "http://a:-1/x",
    "http://a:b/x",
    "http://",
    "http:///x",
    "https://:80/x",
    "http://xn--/x",
    "http://a..b/x",
    "http://" + "a" * 300 + "/x",
    "http://☃\u200d.example/x",
    "http://\udcff/x",
    "http://a b/x",
    "http://a\n/x",
    "http://a/\x00",
    "file:///etc/passwd",
    "ftp://a/x",
    "gopher://a/x",
    "data://x",
    "HTTP://[",
    "http://a:0/x",
    "http://%zz/x",
    "http://[::1]x/",
    "x" * 9000 + "://",
]


def send(content: bytes) -> Act:
    return lambda connection, end: connection.sendall(content)


def drip(content: bytes, piece: bytes, seconds: float) -> Act:
    """Send a beginning, then a piece after the other until the test ends."""

    def act(connection: socket.socket, end: threading.Event) -> None:
        connection.sendall(content)
        while not end.wait(seconds):
            connection.sendall(piece)

    return act


def moved(place: bytes) -> Act:
    return send(b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\nContent-Length: 0\r\n\r\n")


def busy(patience: bytes) -> Act:
    return send(b"HTTP/1.1 503 Busy\r\nRetry-After: " + patience + b"\r\nContent-Length: 0\r\n\r\n")


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HOSTILE: dict[str, Act] = {
    "nothing": send(b""),
    "silence": drip(b"", b"", 0.05),
    "no HTTP": send(b"\0\xff\x16\x03" * 100),
    "slow head": drip(b"HTTP/1.1 200 OK\r\nX: ", b"a", 0.05),
    "endless head": drip(b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 60_000 + b"\r\n", 0),
    "endless answers in between": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50, 0.01),
    "slow body": drip(HEAD + b"Content-Length: 100000\r\n\r\n", b"a", 0.05),
    "endless body": drip(HEAD + b"\r\n", b"a" * 60_000, 0),
    "endless chunks": drip(CHUNKED, b"ea60\r\n" + b"a" * 60_000 + b"\r\n", 0),
    "broken chunks": send(CHUNKED + b"zz\r\nabc"),
    "a length of no number": send(HEAD + b"Content-Length: many\r\n\r\nabc"),
    "a negative length": send(HEAD + b"Content-Length: -5\r\n\r\nabc"),
    "an odd digit": send(HEAD + "Content-Length: ²\r\n\r\nabc".encode()),
    "a long length": send(HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nabc"),
    "a length that no disk holds": send(HEAD + b"Content-Length: 99999999999999999\r\n\r\nabc"),
    "two lengths": send(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
    "too short": send(HEAD + b"Content-Length: 10\r\n\r\nabc"),
    "to a file": moved(b"file:///etc/passwd"),
    "to nowhere": moved(b"http://[x"),
    "to no port": moved(b"http://a:99999/"),
    "to no name": moved(b"http://xn--/"),
    "to odd bytes": moved(b"\xff\xfe\x80"),
    "to itself": moved(b"/data"),
    "from HTTP to ftp": moved(b"ftp://127.0.0.1/x"),
    "a status of no number": send(b"HTTP/1.1 2x0 OK\r\n\r\n"),
    "status 999": send(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"),
    "a part that nobody asked for": send(
        b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nabcde"
    ),
    "patience of an odd digit": busy("²".encode()),
    "endless patience": busy(b"9" * 400),
    "patience until no day": busy(b"Mon, 99 Foo 9999999999 99:99:99 GMT"),
    "packed": send(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
    "an odd charset": send(HEAD + b"Content-Type: text/html; charset=\xff\r\nContent-Length: 3\r\n\r\nabc"),
    "odd cookies": send(
        HEAD + b"Set-Cookie: =\xff; expires=9999999; domain=[\r\nContent-Length: 3\r\n\r\nabc"
    ),
}


@pytest.fixture
def hostile() -> Iterator[Callable[[Act], str]]:
    """Starts a server that does the same to every connection; gives its address."""
    end = threading.Event()
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def talk(connection: socket.socket, act: Act) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            if connection.recv(65536):
                act(connection, end)

    def serve(listener: socket.socket, act: Act) -> None:
        with suppress(OSError):
            while not end.is_set():
                threads.append(threading.Thread(target=talk, args=(listener.accept()[0], act), daemon=True))
                threads[-1].start()

    def start(act: Act) -> str:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threads.append(threading.Thread(target=serve, args=(listeners[-1], act), daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listeners[-1].getsockname()[1]}/data"

    yield start
    end.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(10)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SECONDS_TO_ANSWER", 0.3)
    monkeypatch.setattr(recap.sources.download, "FAILURES_IN_A_ROW", 3)
    monkeypatch.setattr(transfer, "SECONDS_OF_PATIENCE", 0.2)
    monkeypatch.setattr(transfer, "TIMEOUT", httpx.Timeout(0.3))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_download_ends_in_a_line(name: str, tmp_path: Path, hostile: Callable[[Act], str]) -> None:
    url = hostile(HOSTILE[name])
    begin = time.monotonic()
    for size, sha256 in ((None, None), (5000, "0" * 64)):
        remote = RemoteFile(url, (), size, sha256)
        # of what nothing is known, whatever comes may be right
        refused = pytest.raises(InputError, match=r"\A.*\Z") if sha256 else suppress(InputError)
        with refused:
            download(remote, tmp_path, offline=False, wait=lambda seconds: None)
    assert time.monotonic() - begin < 10
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1 << 20


def test_a_slow_server_is_left_though_bytes_come(tmp_path: Path, hostile: Callable[[Act], str]) -> None:
    remote = RemoteFile(hostile(HOSTILE["slow body"]), (), None, None)
    with pytest.raises(InputError, match="less than 1024 bytes a second, 3 times in a row"):
        download(remote, tmp_path, offline=False, wait=lambda seconds: None)


def test_a_page_says_of_an_image_why_it_is_not_there(
    tmp_path: Path, hostile: Callable[[Act], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recap.sources import images_on_demand

    monkeypatch.setattr(images_on_demand, "LONGEST_SECONDS", 0.5)
    urls = [hostile(act) for act in HOSTILE.values()]
    begin = time.monotonic()
    found = fetch_images([*urls, *NO_URLS], tmp_path, timeout=0.3, offline=False)
    assert time.monotonic() - begin < 20
    assert all(isinstance(reason, str) for reason in found.values())
    assert {found[url] for url in NO_URLS} == {"unreachable"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_is_refused_in_a_line(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("pin", "download"):
        assert main(["data", command, url]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert "expected a URL (http or https), received" in message
    with pytest.raises(InputError, match="expected a URL"):
        locate(url, Files(tmp_path, tmp_path / "downloads.json", offline=False))
    assert not (tmp_path / "downloads.json").exists()


def test_urls_of_every_kind_are_taken() -> None:
    urls = [
        "http://127.0.0.1:80/a",
        "https://user:word@example.org/a?b=c",
        "http://[::1]:8080/",
        "HTTP://a/b",
    ]
    for url in (*urls, "http://bücher.example/é"):
        assert check_url(url, "here") == url


ODD: list[Any] = [None, [], {}, "", "x", 3, -1, 1e400, True, [[]], {"a": 1}, 10**400, "é\n", "x" * 3000]


def test_leftovers_of_an_odd_shape_are_begun_anew(tmp_path: Path, server: Any, reply: Any) -> None:
    content = random.Random(0).randbytes(5000)
    remote = RemoteFile(f"{server.url}/data", (), None, None)
    server.replies["/data"] = [reply(content)]
    path = download(remote, tmp_path, offline=False)
    record = tmp_path / f"{path.name}.json"
    good = json.loads(record.read_text())
    broken = [json.dumps(value) for value in ODD] + ["", "{", "[" * 50_000, "\xff"]
    broken += [json.dumps({**good, key: value}) for key in good for value in ODD]
    broken += [json.dumps({key: good[key]}) for key in good]
    for text in broken:
        record.write_text(text)
        with pytest.raises(InputError, match="offline") as caught:
            download(remote, tmp_path, offline=True)
        assert "\n" not in str(caught.value)
    assert download(remote, tmp_path, offline=False).read_bytes() == content

    part = tmp_path / f"{path.name}.part"
    state = {"url": remote.url, "validator": '"1"', "total": 5000}
    broken = [json.dumps(value) for value in ODD] + ["", "{", "[" * 50_000]
    broken += [json.dumps({**state, key: value}) for key in state for value in ODD[::2]]
    for text in broken:
        path.unlink(missing_ok=True)
        part.write_bytes(content[:100])
        part.with_name(f"{part.name}.json").write_text(text)
        assert download(remote, tmp_path, offline=False, wait=lambda seconds: None).read_bytes() == content


def test_a_registry_of_odd_types_is_refused_in_a_line(tmp_path: Path) -> None:
    registry = tmp_path / "downloads.json"
    url = "http://127.0.0.1/a"
    entries = [value for value in ODD if value != {}]
    entries += [{key: value} for key in ("mirrors", "size", "sha256") for value in ODD]
    entries += [{"mirrors": [value]} for value in (*ODD, "file:///etc/passwd", "http://[x")]
    fine = [{"mirrors": None}, {"mirrors": []}, {"size": None}, {"size": 3}, {"sha256": None}]
    for entry in entries:
        registry.write_text(json.dumps({url: entry}))
        before = registry.read_bytes()
        if entry in fine and entry != {"size": True}:
            find_remote(url, registry)
            continue
        for act in (
            lambda: find_remote(url, registry),
            lambda: pin(registry, find_remote(url, registry), registry),
        ):
            with pytest.raises(InputError) as caught:
                act()
            assert "\n" not in str(caught.value)
            assert str(registry) in str(caught.value)
        assert registry.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, server: Any, reply: Any) -> None:
    server.replies["/data"] = [reply(b"abc")]
    (tmp_path / "file").write_text("")
    remote = RemoteFile(f"{server.url}/data", (), None, None)
    with pytest.raises(InputError, match="expected a file that can be kept, received"):
        download(remote, tmp_path / "file" / "folder", offline=False)

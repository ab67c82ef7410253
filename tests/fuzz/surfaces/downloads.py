"""What other machines answer, what a registry says and an earlier attempt left: `recap data download`."""

import json
import random
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_json, odd_value
from tests.fuzz.surface import Failed, check_unpublished, run_command

from recap.errors import InputError
from recap.sources import download as module
from recap.sources.config import CocoConfig, DataConfig, FolderConfig, ImagesConfig, ScenesConfig
from recap.sources.download import download
from recap.sources.images_on_demand import make_fetch
from recap.sources.registry import find_remote, hash_file, is_url, pin

BODY = b"0123456789" * 40
HEADERS = (
    *("Content-Length: -1", "Content-Length: 10", "Content-Length: 999999999999", "Content-Length: ４", "X"),
    *("Transfer-Encoding: chunked", "Content-Encoding: gzip", "Content-Range: bytes 5-/", "Content-Range: x"),
    *(
        "Content-Range: bytes 0-399/400",
        "Content-Range: bytes 99999999999999999999-1/2",
        "ETag: é",
        "ETag: W/x",
    ),
    *(
        "Retry-After: -5",
        "Retry-After: 1e999",
        "Retry-After: nan",
        "Retry-After: Sun, 99 Nov 2026 10:00:00 GMT",
    ),
    *(
        "Retry-After: " + "9" * 5000,
        "Location: http://[x",
        "Location: /loop",
        "Location: http://127.0.0.1:99999/",
    ),
    *("Location: http://xn--a\udcff/", "Location: file:///etc/passwd", "Location: //", "Location: \x00"),
    *(
        "Last-Modified: " + "x" * 70_000,
        "Set-Cookie: \xff=;",
        "Date: x",
        "Retry-After: Sun, 01 Nov 0000 10:00:00",
    ),
)
URLS = (
    *(
        "/data.zip",
        "/a b.zip",
        "/é.zip",
        "/%zz",
        "/" + "x" * 300,
        "/?q=" + "x" * 5000,
        "/..",
        "/\x00",
        "/\ud83d",
        "",
    ),
)
ADDRESSES = (
    *(
        "http://[x",
        "http://",
        "http://127.0.0.1:99999/x",
        "http://127.0.0.1:x/",
        "http://xn--\xff/",
        "http://a..b/",
    ),
    *(
        "http://\ud83d/",
        "https://127.0.0.1:1/x",
        "http://user:pass@127.0.0.1:1/",
        "http://" + "a" * 300 + "/",
    ),
    *(
        "ftp://x/",
        "http:/x",
        "http://☃.invalid/",
        "http://127.0.0.1:1\n/x",
        "http://0x7f.1:1/",
        "http://\u2100/",
    ),
)


class _Server(threading.Thread):
    """Answers every connection with bytes as they are, in turn, the last ones for ever."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answers: list[bytes] = [b""]
        self.start()

    def run(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            with connection:
                try:
                    connection.settimeout(2)
                    connection.recv(65_536)
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)
                except OSError:
                    pass


class Downloads:
    def __init__(self) -> None:
        module.TIMEOUT = httpx.Timeout(2.0)
        self.server = _Server()

    def draw(self, generator: random.Random) -> bytes:
        answers = [self._answer(generator) for _ in range(generator.choice((1, 1, 2, 4)))]
        entry: Any = {"mirrors": [], "sha256": None, "size": 400}
        state: Any = {"url": "URL", "validator": '"1"', "total": 400}
        record: Any = {"size": 400, "sha256": "0" * 64}
        odd = generator.randrange(6)
        path = "/data.zip"
        if odd <= 1:
            path = generator.choice(ADDRESSES if odd == 0 else URLS)
        case = {"path": path, "answers": [answer.decode("latin-1") for answer in answers]}
        case["registry"] = json_bytes({"URL": entry}).decode()
        if odd == 2:
            case["registry"] = self._spoil({"URL": entry}, generator)
        elif odd == 3:
            entry["mirrors"] = [odd_value(generator), generator.choice(ADDRESSES)]
            case["registry"] = json_bytes({"URL": entry}).decode()
        elif odd == 4:
            case["state"] = self._spoil(state, generator)
        elif odd == 5:
            case["record"] = self._spoil(record, generator)
        return json_bytes(case)

    @staticmethod
    def _spoil(value: Any, generator: random.Random) -> str:
        changed = json_bytes(mutate_json(value, generator))
        return (mutate_bytes(changed, generator) if generator.random() < 0.3 else changed).decode("latin-1")

    @staticmethod
    def _answer(generator: random.Random) -> bytes:
        status = generator.choice(
            (200, 200, 200, 206, 206, 301, 302, 308, 404, 416, 429, 503, 100, 204, 0, 999)
        )
        body = generator.choice(
            (BODY, BODY, BODY[:100], b"", b"\x1f\x8b" + BODY, b"190\r\n" + BODY + b"\r\n0\r\n\r\n")
        )
        headers = generator.sample(HEADERS, generator.choice((0, 1, 1, 2)))
        if generator.random() < 0.6:
            headers.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([f"HTTP/1.1 {status} OK", *headers, "", ""])
        answer = head.encode("utf-8", "surrogateescape") + body
        return mutate_bytes(answer, generator) if generator.random() < 0.3 else answer

    def run(self, content: bytes) -> bool:
        case = json.loads(content)
        own = f"http://127.0.0.1:{self.server.port}"
        url = own + case["path"] if case["path"].startswith("/") or not case["path"] else case["path"]
        self.server.answers = [answer.encode("latin-1") for answer in case["answers"]]
        folder, registry = Path("downloads"), Path("downloads.json")
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        registry.write_bytes(self._filled(case["registry"], url))
        data = DataConfig(
            source="coco",
            validation_share=0.1,
            test_share=0.1,
            offline=False,
            language_captions=None,
            images=ImagesConfig(fetch=True, timeout=1.0),
            scenes=ScenesConfig(train_images=10, validation_images=3, test_images=3, seed=0),
            coco=CocoConfig(None, "any", None, None),
            folder=FolderConfig(None, None, None, None),
        )
        if is_url(url):
            (found,) = make_fetch(data, Path("images"))([url]).values()
            if isinstance(found, str) and not 0 < len(found) < 200:
                raise Failed(f"expected a reason in a few words, received {found!r}")
            self.server.answers = [answer.encode("latin-1") for answer in case["answers"]]
        else:
            run_command(["data", "download", url], codes=(0,))
        remote = find_remote(url, registry)
        path = folder / remote.name
        if "state" in case:
            path.with_name(f"{path.name}.part").write_bytes(BODY[:100])
            path.with_name(f"{path.name}.part.json").write_bytes(self._filled(case["state"], url))
        if "record" in case:
            path.write_bytes(BODY)
            path.with_name(f"{path.name}.json").write_bytes(case["record"].encode("utf-8", "surrogatepass"))
        try:
            found = download(remote, folder, offline=False, wait=lambda seconds: None)
        except InputError:
            if path.exists() and path.read_bytes() != BODY:
                raise Failed("expected no file that was refused") from None
            raise
        if remote.size is not None and found.stat().st_size != remote.size:
            raise Failed("expected a file of the size that is known")
        pin(registry, remote, found)
        if find_remote(url, registry).sha256 != hash_file(found):
            raise Failed("expected the file's SHA-256 in the registry")
        check_unpublished(folder, "none")
        return True

    @staticmethod
    def _filled(text: str, url: str) -> bytes:
        return text.replace('"URL"', json.dumps(url)).encode("utf-8", "surrogatepass")

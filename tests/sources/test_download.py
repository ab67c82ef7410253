import hashlib
import json
import random
import socket
import ssl
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from recap.errors import InputError
from recap.sources.download import bring, download
from recap.sources.registry import RemoteFile, find_remote, pin

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Waits(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def remote(server, path: str = "/data.zip", mirrors=(), size=None, sha256=None) -> RemoteFile:
    return RemoteFile(server.url + path, tuple(server.url + mirror for mirror in mirrors), size, sha256)


def test_a_file_arrives_whole_and_only_once(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/data.zip"] = [reply(CONTENT)]
    path = download(remote(server), tmp_path, offline=False, wait=waits)
    assert path.read_bytes() == CONTENT
    assert path.name.endswith("-data.zip")
    assert download(remote(server), tmp_path, offline=True, wait=waits) == path
    assert download(remote(server), tmp_path, offline=False, wait=waits) == path
    assert len(server.requests) == 1
    assert not list(tmp_path.glob("*.part*"))
    assert waits == []


def test_twenty_cuts_refusals_and_every_byte_once(tmp_path: Path, server, reply, waits) -> None:
    """The server sends 20 pieces of random length, with 503 and 429 between them."""
    generator = random.Random(7)
    cuts = sorted(generator.sample(range(1, len(CONTENT)), 20))
    replies = []
    for begin, end in zip([0, *cuts], [*cuts, len(CONTENT)], strict=True):
        replies.append(reply(CONTENT, cut_after=end - begin))
        if generator.random() < 0.5:
            busy = {"Retry-After": "7"} if generator.random() < 0.5 else {}
            replies.append(reply(status=generator.choice([503, 429]), headers=busy))
    server.replies["/data.zip"] = [*replies[:-1], reply(CONTENT)]
    path = download(remote(server), tmp_path, offline=False, wait=waits)
    assert path.read_bytes() == CONTENT
    pieces = [piece for piece in server.sent if piece[1]]
    assert len(pieces) == 21
    assert sum(length for _, length in pieces) == len(CONTENT)
    assert [begin for begin, _ in pieces] == [0, *cuts]


def test_a_file_that_changes_on_the_way_starts_anew(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/data.zip"] = [reply(OTHER, tag='"old"', cut_after=100_000), reply(CONTENT, tag='"new"')]
    path = download(remote(server), tmp_path, offline=False, wait=waits)
    assert path.read_bytes() == CONTENT
    assert server.requests[1][1]["If-Range"] == '"old"'


def test_a_changed_file_behind_a_server_that_ignores_if_range(tmp_path: Path, server, reply, waits) -> None:
    old = reply(OTHER, tag='"old"', cut_after=100_000)
    server.replies["/data.zip"] = [old, reply(CONTENT, tag='"new"', ignore_if_range=True)]
    path = download(remote(server), tmp_path, offline=False, wait=waits)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("tag", "changed"), [(None, None), ('W/"weak"', None), (None, "Sun, 01 Nov 2026 10:00:00 GMT")]
)
def test_only_a_confirmed_part_is_continued(tmp_path: Path, server, reply, waits, tag, changed) -> None:
    first = reply(CONTENT, tag=tag, changed=changed, cut_after=100_000)
    server.replies["/data.zip"] = [first, reply(CONTENT, tag=tag, changed=changed)]
    path = download(remote(server), tmp_path, offline=False, wait=waits)
    assert path.read_bytes() == CONTENT
    assert ("Range" in server.requests[1][1]) == (changed is not None)


def test_a_server_without_ranges_sends_all_again(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/data.zip"] = [reply(CONTENT, cut_after=1000), reply(CONTENT, ranges=False)]
    assert download(remote(server), tmp_path, offline=False, wait=waits).read_bytes() == CONTENT


def test_a_known_hash_catches_a_mix_and_the_next_attempt_is_clean(
    tmp_path: Path, server, reply, waits
) -> None:
    server.replies["/data.zip"] = [reply(OTHER, tag=None, cut_after=1000), reply(CONTENT, tag=None)]
    path = download(remote(server, sha256=SHA256), tmp_path, offline=False, wait=waits)
    assert path.read_bytes() == CONTENT
    assert [begin for begin, _ in server.sent] == [0, 1000, 0]


def test_a_part_that_is_already_whole(tmp_path: Path, server, reply, waits) -> None:
    """A process killed between the last byte and the rename."""
    file = remote(server)
    (tmp_path / f"{file.name}.part").write_bytes(CONTENT)
    state = {"url": file.url, "validator": '"1"', "total": len(CONTENT)}
    (tmp_path / f"{file.name}.part.json").write_text(json.dumps(state))
    server.replies["/data.zip"] = [reply(CONTENT)]
    assert download(file, tmp_path, offline=False, wait=waits).read_bytes() == CONTENT
    assert server.sent == [(len(CONTENT), 0)]


def test_waits_grow_are_bounded_and_honour_the_server(tmp_path: Path, server, reply, waits) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    busy = [reply(status=503) for _ in range(4)]
    server.replies["/data.zip"] = [
        *busy,
        reply(status=429, headers={"Retry-After": "30"}),
        reply(status=503, headers={"Retry-After": date}),
        reply(CONTENT),
    ]
    download(remote(server), tmp_path, offline=False, wait=waits)
    for number, seconds in enumerate(waits[:4], start=1):
        assert 2**number / 2 <= seconds <= 2**number
    assert waits[4] >= 30
    assert 80 <= waits[5] <= 90


def test_a_server_that_asks_for_hours_is_left(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/data.zip"] = [reply(status=503, headers={"Retry-After": "7200"})]
    server.replies["/mirror.zip"] = [reply(CONTENT)]
    path = download(remote(server, mirrors=["/mirror.zip"]), tmp_path, offline=False, wait=waits)
    assert path.read_bytes() == CONTENT
    assert waits == []


def test_mirrors_in_turn_and_every_reason_in_one_line(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/b.zip"] = [reply(CONTENT[:-1])]
    server.replies["/c.zip"] = [reply(OTHER)]
    server.replies["/d.zip"] = [reply(CONTENT, headers={"Content-Encoding": "gzip"})]
    file = remote(server, mirrors=["/b.zip", "/c.zip", "/d.zip"], size=len(CONTENT), sha256=SHA256[:8])
    with pytest.raises(InputError) as caught:
        download(file, tmp_path, offline=False, wait=waits)
    message = str(caught.value)
    assert "\n" not in message
    for reason in ("HTTP 404", "expected 300000 bytes, the server has 299999", "expected SHA-256", "packs"):
        assert reason in message
    assert not list(tmp_path.glob("*-data.zip"))
    server.replies["/d.zip"] = [reply(CONTENT)]
    assert download(file, tmp_path, offline=False, wait=waits).read_bytes() == CONTENT


def test_a_mirror_continues_what_the_first_address_began(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/data.zip"] = [reply(CONTENT, cut_after=100_000), reply(status=404)]
    server.replies["/mirror.zip"] = [reply(CONTENT, tag='"elsewhere"')]
    file = remote(server, mirrors=["/mirror.zip"], sha256=SHA256)
    assert download(file, tmp_path, offline=False, wait=waits).read_bytes() == CONTENT
    assert server.sent == [(0, 100_000), (0, 0), (100_000, 200_000)]


def test_a_length_that_nobody_knows_is_refused(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/data.zip"] = [reply(CONTENT, length=False)]
    with pytest.raises(InputError, match="does not tell the length"):
        download(remote(server), tmp_path, offline=False, wait=waits)
    cut = reply(CONTENT, length=False, cut_after=1000)
    server.replies["/data.zip"] = [cut, reply(CONTENT, length=False)]
    file = remote(server, size=len(CONTENT))
    assert download(file, tmp_path, offline=False, wait=waits).read_bytes() == CONTENT


def test_a_server_that_never_recovers(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/data.zip"] = [reply(status=500)]
    with pytest.raises(InputError, match="HTTP 500, 7 times in a row"):
        download(remote(server), tmp_path, offline=False, wait=waits)
    assert max(waits) <= 60


def test_nobody_listens(tmp_path: Path, waits) -> None:
    file = RemoteFile("http://127.0.0.1:9/data.zip", (), None, None)
    with pytest.raises(InputError, match="ConnectError"):
        download(file, tmp_path, offline=False, wait=waits)


@pytest.mark.parametrize(("number", "attempts"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 7)])
def test_a_name_that_is_not_there_is_asked_for_once(
    tmp_path: Path, waits, monkeypatch: pytest.MonkeyPatch, number: int, attempts: int
) -> None:
    asked = []

    def refuse(host: str, *arguments: object, **options: object) -> None:
        asked.append(host)
        raise socket.gaierror(number, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(InputError, match=r"recap\.invalid/data\.zip: ConnectError: .*no address"):
        download(RemoteFile("https://recap.invalid/data.zip", (), None, None), tmp_path, False, waits)
    assert (len(asked), len(waits)) == (attempts, attempts - 1)


def test_a_certificate_that_nobody_vouches_for_is_refused_once(tmp_path: Path, waits) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate(tmp_path / "own.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def refuse() -> None:
            with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True):
                pass

        thread = threading.Thread(target=refuse)
        thread.start()
        file = RemoteFile(f"https://127.0.0.1:{listener.getsockname()[1]}/data.zip", (), None, None)
        with pytest.raises(InputError, match=r"ConnectError: .*CERTIFICATE_VERIFY_FAILED"):
            download(file, tmp_path, False, waits)
        thread.join()
    assert waits == []


def own_certificate(path: Path) -> Path:
    """Write a key and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return path


def test_a_copy_that_rots_is_fetched_again(tmp_path: Path, server, reply, waits) -> None:
    server.replies["/data.zip"] = [reply(CONTENT)]
    path = download(remote(server), tmp_path, offline=False, wait=waits)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(InputError, match="a broken one: expected SHA-256"):
        download(remote(server), tmp_path, offline=True, wait=waits)
    assert download(remote(server), tmp_path, offline=False, wait=waits).read_bytes() == CONTENT


def test_a_pin_is_enforced(tmp_path: Path, server, reply, waits) -> None:
    registry = tmp_path / "downloads.json"
    server.replies["/data.zip"] = [reply(CONTENT)]
    file = find_remote(server.url + "/data.zip", registry)
    pin(registry, file, download(file, tmp_path / "one", offline=False, wait=waits))
    file = find_remote(server.url + "/data.zip", registry)
    assert (file.size, file.sha256) == (len(CONTENT), SHA256)
    server.replies["/data.zip"] = [reply(OTHER)]
    with pytest.raises(InputError, match="expected SHA-256"):
        download(file, tmp_path / "two", offline=False, wait=waits)
    assert download(file, tmp_path / "one", offline=True, wait=waits).read_bytes() == CONTENT


def test_the_users_own_file_is_verified_as_well(tmp_path: Path, server, waits) -> None:
    mine = tmp_path / "mine.zip"
    mine.write_bytes(OTHER)
    file = remote(server, sha256=SHA256)
    with pytest.raises(InputError, match="expected SHA-256"):
        bring(file, mine, tmp_path / "cache")
    with pytest.raises(InputError, match="offline"):
        download(file, tmp_path / "cache", offline=True, wait=waits)
    mine.write_bytes(CONTENT)
    bring(file, mine, tmp_path / "cache")
    assert download(file, tmp_path / "cache", offline=True, wait=waits).read_bytes() == CONTENT
    assert server.requests == []


def test_a_second_process_waits_for_the_first(tmp_path: Path, server, reply) -> None:
    server.replies["/data.zip"] = [reply(status=503), reply(CONTENT)]
    paths = []

    def fetch() -> None:
        paths.append(download(remote(server), tmp_path, offline=False, wait=lambda _: time.sleep(0.3)))

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in paths] == [CONTENT] * 3
    assert len(server.requests) == 2


def test_a_registry_of_another_form(tmp_path: Path) -> None:
    registry = tmp_path / "downloads.json"
    registry.write_text("[]")
    with pytest.raises(InputError, match="expected an object"):
        find_remote("http://127.0.0.1/a", registry)

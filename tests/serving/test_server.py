"""`recap serve` answers what it should, and everything else with one line: no stack trace, no 500."""

import base64
import io
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.conftest import Browser
from tests.finished_models import IMAGES, make_finished_models

import recap
from recap.errors import InputError
from recap.serving.answers import answer

pytestmark = pytest.mark.slow
ROW = {"features": [0.5, -0.5, 0.25, 1.0, 0.0, 0.5, -1.0, 0.125]}


def picture(side: int = 64) -> bytes:
    draft = io.BytesIO()
    Image.effect_noise((side, side), 80).convert("RGB").save(draft, "PNG")
    return draft.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pipeline leaves, with scores, and a folder of images beside it."""
    folder = tmp_path_factory.mktemp("served")
    shown = folder / "images" / "shown"
    shown.mkdir(parents=True)
    (shown / "a.png").write_bytes(picture())
    (shown.parent / "secret.png").write_bytes(picture())
    (shown / "link.png").symlink_to(shown.parent / "secret.png")
    project = make_finished_models(folder / "project")
    metrics = project / "reports" / "decoders" / "lstm" / "metrics.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text(json.dumps({"seen": {"cider_d": 1.25, "images": 3}}))
    return project


@contextmanager
def serve(project: Path, *arguments: str) -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and, when it has ended, what it printed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "recap.cli", "serve", *arguments, "--port", str(port)]
    with subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            until = time.monotonic() + 120
            while True:
                try:
                    assert httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200
                    break
                except httpx.TransportError:
                    assert process.poll() is None, process.stderr.read()
                    assert time.monotonic() < until
                    time.sleep(0.2)
            said: list[str] = []
            yield f"http://127.0.0.1:{port}", said
            process.terminate()
            said += process.stdout
        finally:
            process.terminate()
            assert "Traceback" not in process.stderr.read()


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the folder below which it reads images."""
    folder = project.parent / "images" / "shown"
    arguments = ["--allowed-host", "captions.example", "--images", str(folder), "--max-length", "4"]
    with serve(project, *arguments) as (address, _):
        yield address, folder


def ask(address: str, body: Any, **headers: str) -> tuple[int, Any]:
    """The status and the answer, which must be one line."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | headers
    answer = httpx.post(f"{address}/invocations", content=content, headers=headers, timeout=60)
    assert answer.status_code < 500, answer.text
    assert "\n" not in answer.text.strip()
    assert "Traceback" not in answer.text
    assert "stack_trace" not in answer.text
    document = answer.json()
    return answer.status_code, document["predictions"] if answer.status_code == 200 else document["message"]


def test_an_image_is_base64_as_programs_print_it_or_a_path_below_the_named_folder(
    server: tuple[str, Path],
) -> None:
    address, folder = server
    content = (folder / "a.png").read_bytes()
    wrapped = base64.encodebytes(content).decode()
    assert wrapped.count("\n") > 10
    whole = base64.b64encode(content).decode()
    texts = ["a.png", str(folder / "a.png"), wrapped, wrapped.replace("\n", "\r\n"), whole]
    texts.append(f"data:image/png;base64,{wrapped}")
    status, rows = ask(address, {"dataframe_records": [{"image": text} for text in texts]})
    assert status == 200
    assert all(row == rows[0] for row in rows)


def test_no_answer_tells_which_files_there_are(server: tuple[str, Path]) -> None:
    address, folder = server
    secret = folder.parent / "secret.png"
    hidden = ["../secret.png", str(secret), "link.png", "/etc/passwd", "/etc/shadow", "/proc/self/environ"]
    absent = ["../absent.png", str(folder.parent / "absent.png"), "absent.png", "/etc/absent-file", "a.png/b"]
    odd = ["\0.png", "x" * 300 + ".png", "../" * 900, ".", "~root"]
    answers = {
        text: ask(address, {"dataframe_records": [{"image": text}]}) for text in (*hidden, *absent, *odd)
    }
    assert set(answers.values()) == {
        (
            400,
            "row 0: expected an image as base64, or the path of an image in the folder of --images, "
            "received neither",
        )
    }


def test_without_a_named_folder_no_file_is_read(project: Path, server: tuple[str, Path]) -> None:
    captioner = recap.load(project / "models" / "lstm")
    with pytest.raises(InputError, match="expected an image as base64"):
        answer(captioner, [{"image": str(server[1] / "a.png")}], {}, None)


def test_what_is_misspelt_is_refused(server: tuple[str, Path]) -> None:
    address, _ = server
    status, rows = ask(address, {"dataframe_records": [ROW], "params": {"max_length": 1}})
    assert status == 200
    assert len(rows[0]["caption"].split()) <= 1
    for body, message in (
        ({"dataframe_records": [ROW], "params": {"max_lenght": 1}}, 'received "max_lenght"'),
        ({"dataframe_records": [ROW], "param": {}}, 'received "param"'),
        ({"dataframe_records": [ROW | {"imgae": "x"}]}, 'received "imgae"'),
        ({"instances": [ROW]}, 'received "instances"'),
        ({"dataframe_records": [ROW], "params": [1]}, "params: expected an object"),
        (
            {"dataframe_records": [ROW, ROW | {"image": "aGk="}]},
            "row 1: expected features or an image, received both",
        ),
        (
            b'{"params": {}, "params": {}}',
            'the request: expected JSON, received: the key "params" twice',
        ),
        (
            {"dataframe_records": [{"features": ["1.0"] * len(ROW["features"])}]},
            "row 0: expected features as numbers",
        ),
        (
            {"dataframe_records": [{"features": [True] * len(ROW["features"])}]},
            "row 0: expected features as numbers",
        ),
        ({"dataframe_records": [{"features": [ROW["features"]]}]}, "received an array of the shape (1, "),
        ({"dataframe_records": [ROW], "params": {"max_length": True}}, "max_length: expected an integer"),
        ({"dataframe_records": [ROW], "params": {"seed": "1"}}, "seed: expected an integer"),
        ({"dataframe_records": [ROW], "params": {"max_length": 0}}, "max_length"),
        ({"dataframe_records": [ROW], "params": {"max_length": "many"}}, "max_length"),
        (
            {
                "dataframe_records": [ROW] * 64,
                "params": {"search": "beam", "beam_width": 1000, "max_length": 99},
            },
            "received 64 rows x 1000 hypotheses x max_length 99",
        ),
    ):
        status, answer = ask(address, body)
        assert (status, message in answer) == (400, True), answer


def test_only_hosts_that_are_named_are_answered(server: tuple[str, Path]) -> None:
    address, _ = server
    body = {"dataframe_records": [ROW]}
    assert ask(address, body, Host="captions.example")[0] == 200
    assert ask(address, body, Host="CAPTIONS.example")[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "10.evil.example", "127.0.0.1:1", ""):
        status, answer = ask(address, body, Host=host)
        assert status == 400
        assert "expected a Host that is named at start" in answer
    assert httpx.get(f"{address}/ping", headers={"Host": "evil.example"}).status_code == 400


def test_a_body_has_a_limit(server: tuple[str, Path]) -> None:
    address, _ = server
    status, answer = ask(address, b" " * ((64 << 20) + 1))
    assert (status, "at most 67108864 bytes" in answer) == (413, True)


def test_bad_requests_get_400_in_a_line(server: tuple[str, Path]) -> None:
    address, _ = server
    for headers in ({"Content-Type": "text/csv"}, {"Content-Type": ""}, {"Content-Type": "application/x"}):
        assert ask(address, {"dataframe_records": [ROW]}, **headers)[0] == 415
    with httpx.Client() as client:
        without = client.build_request("POST", f"{address}/invocations", content=b"{}")
        assert client.send(without).status_code == 415
    assert httpx.get(f"{address}/invocations").status_code == 405
    assert httpx.get(f"{address}/else").json()["message"] == "Not Found"
    large = 10**400
    for body in (
        b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"null", b"3", b'"x"', b"[]", b"{}",
        {"dataframe_records": None}, {"dataframe_records": 3}, {"dataframe_records": [None]},
        {"dataframe_records": [[1]]}, {"dataframe_records": {"a": 1}}, {"dataframe_records": [{}]},
        {"dataframe_records": [ROW], "instances": [ROW]}, {"params": {}},
        *({"dataframe_records": [{"features": value}]} for value in (
            None, "x", 3, [], {}, [[1.0]], ["a"], [None] * 5, [True] * 4, [1e300] * 5, [large] * 5,
            [float("nan")] * 5, [float("inf")] * 5, [[1], 2, 3, 4, 5], [{}] * 5)),
        *({"dataframe_records": [{"image": value}]} for value in (
            3, [], {}, True, "", " ", "=", "data:,", "\ud800", "a" * 5000 + "!", "aGVsbG8=", 1e99)),
        {"dataframe_records": [ROW, {"image": 3}]}, {"dataframe_records": [ROW, {}]},
        {"dataframe_records": [ROW], "params": {"banned_words": [3]}},
        {"dataframe_records": [ROW], "params": {"banned_words": "a"}},
        {"dataframe_records": [ROW], "params": {"banned_words": ["a", "unheard"]}},
        {"dataframe_records": [ROW], "params": {"banned_last_words": ["unheard"]}},
        {"dataframe_records": [ROW], "params": {"max_length": large}},
        {"dataframe_records": [ROW], "params": {"top_k": -1}},
        {"dataframe_records": [ROW], "params": {"search": None}},
        {"dataframe_records": [ROW], "params": 3},
    ):  # fmt: skip
        assert ask(address, body)[0] == 400, body


def test_flipped_requests_never_break_the_server(server: tuple[str, Path]) -> None:
    address, _ = server
    body = json.dumps({"dataframe_records": [ROW, {"image": "aGk="}], "params": {"max_length": 3}}).encode()
    draw = random.Random(0)
    for _ in range(150):
        changed = bytearray(body)
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        assert ask(address, bytes(changed[: draw.randint(1, len(body))]))[0] in (200, 400)
    assert ask(address, {"dataframe_records": [ROW]})[0] == 200


def test_uploads_are_rows_and_their_fields_options(server: tuple[str, Path], project: Path) -> None:
    address, _ = server
    contents = [(project / image).read_bytes() for image in IMAGES]
    files = [("image", ("../odd \r\n name.png", content)) for content in contents]
    found = httpx.post(f"{address}/invocations", files=files, data={"max_length": "2"}, timeout=60)
    rows = [{"image": base64.b64encode(content).decode()} for content in contents]
    status, expected = ask(address, {"dataframe_records": rows, "params": {"max_length": 2}})
    assert (found.status_code, status, found.json()["predictions"]) == (200, 200, expected)
    assert all(len(row["caption"].split()) <= 2 for row in expected)


def test_forms_that_are_none_get_400_in_a_line(server: tuple[str, Path]) -> None:
    address, _ = server
    whole = (
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%s\r\n--x--\r\n'
        % picture()
    )
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for path in ("invocations", "captions"):
        assert httpx.post(f"{address}/{path}", content=whole, headers=form, timeout=60).status_code == 200
        for body, headers in (
            (whole, {"Content-Type": "multipart/form-data"}),
            (whole, {"Content-Type": "multipart/form-data; boundary=y"}),
            (whole[:-6], form), (b"", form), (b"--x--", form), (whole.replace(b"\r\n\r\n", b"\r\n", 1), form),
            (whole.replace(b"name=", b"nome="), form), (whole.replace(b'"image"', b'"other"'), form),
            (whole.replace(b'"image"; filename="a"', b'"max_lenght"'), form),
            (whole.replace(picture()[:8], b"no image"), form),
            (whole.replace(b"\x89PNG", b"nopict"), form),
        ):  # fmt: skip
            answered = httpx.post(f"{address}/{path}", content=body, headers=headers, timeout=60)
            assert answered.status_code in (400, 415), body[:80]
            assert "\n" not in answered.text.strip()


def test_other_pages_may_not_ask(server: tuple[str, Path]) -> None:
    address, _ = server
    body = {"dataframe_records": [ROW]}
    assert ask(address, body, Origin=address)[0] == 200
    for origin in (
        "http://evil.example",
        "null",
        "http://[",
        "http://127.0.0.1:1",
        "https://captions.example.evil",
    ):
        status, answered = ask(address, body, Origin=origin)
        assert (status, "expected a page of this server" in answered) == (400, True)


def test_its_start_says_data_scores_and_digests(project: Path) -> None:
    with serve(project, "rnn+lstm") as (address, lines):
        about = httpx.get(f"{address}/about").json()
        rows = httpx.post(f"{address}/invocations", json={"dataframe_records": [ROW]}).json()["predictions"]
    said = "".join(lines)
    assert "lstm: CIDEr-D 1.250 (seen)" in said
    assert "rnn: no scores" in said
    for path in ("data/captions", "data/reduced", "models/rnn", "models/lstm"):
        assert f"{path}: MD5 {about['data']['digests'][path]}" in said
    assert about["captioners"] == ["rnn", "lstm", "rnn + lstm"]
    expected = recap.load(project / "models", decoders=["rnn", "lstm"]).caption([ROW["features"]])
    assert [row["caption"] for row in rows] == [caption.text for caption in expected]


def press(browser: Browser, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def until(browser: Browser, condition: str) -> None:
    """Wait until a JavaScript expression is true."""
    moment = time.monotonic() + 60
    while not browser.evaluate(condition):
        assert time.monotonic() < moment, browser.evaluate("document.body.innerText")
        time.sleep(0.1)


def choose(browser: Browser, path: Path) -> None:
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(path.resolve())])


def test_a_picture_on_the_page_gets_captions_and_words_their_pixels(
    server: tuple[str, Path], project: Path, browser: Browser, tmp_path: Path
) -> None:
    address, _ = server
    browser.open(f"{address}/", 900)
    until(browser, "document.getElementById('about').textContent.includes('CIDEr-D 1.250')")
    choose(browser, project / IMAGES[0])
    until(browser, "!document.getElementById('result').hidden")
    shown = browser.evaluate(
        "[...document.querySelectorAll('.words')].map(x => x.getAttribute('aria-label'))"
    )
    names = {
        "rnn": ["rnn"],
        "lstm": ["lstm"],
        "transformer": ["transformer"],
        "rnn + lstm + transformer": None,
    }
    for label, (name, decoders) in zip(shown, names.items(), strict=True):
        captioner = recap.load(project / "models", decoders=decoders)
        captioner = replace(
            captioner, decoding=replace(captioner.decoding, max_length=4)
        )  # as it was started
        (caption,) = captioner.caption([project / IMAGES[0]])
        assert label == f"{name}: {caption.text}"
    whole = browser.evaluate("document.getElementById('picture').src")
    browser.evaluate("document.getElementById('file').focus()")
    press(browser, "Tab", 9)
    assert browser.evaluate("document.activeElement.matches('.words button')"), "a word is the next stop"
    until(browser, "document.getElementById('picture').alt.startsWith('The pixels that said')")
    assert browser.evaluate("document.getElementById('picture').src") != whole
    assert browser.evaluate("document.getElementById('picture').naturalWidth") == 64
    first = browser.evaluate("document.getElementById('picture').src")
    press(browser, "Tab", 9)
    until(
        browser,
        f"document.getElementById('picture').alt.startsWith('The pixels') && "
        f"document.getElementById('picture').src.length != {len(first)}",
    )
    browser.evaluate("document.activeElement.blur()")
    assert browser.evaluate("document.getElementById('picture').src") == whole
    (tmp_path / "no picture.png").write_bytes(b"no picture")
    assert errors(browser) == []
    choose(browser, tmp_path / "no picture.png")
    until(browser, "document.getElementById('message').classList.contains('wrong')")
    message = browser.evaluate("document.getElementById('message').textContent")
    assert message.startswith("image: expected an image that decodes")
    choose(browser, project / IMAGES[1])
    until(browser, "!document.getElementById('result').hidden")


def drag(browser: Browser, kind: str, path: Path) -> None:
    """Move a file over the middle of the page's field as a mouse from outside does, or let it go there."""
    place = browser.evaluate(
        "(({x, y, width, height}) => ({x: x + width / 2, y: y + height / 2}))"
        "(document.getElementById('drop').getBoundingClientRect())"
    )
    data = {"items": [], "files": [str(path.resolve())], "dragOperationsMask": 1}
    browser.call("Input.dispatchDragEvent", type=kind, data=data, **place)


def test_a_file_dropped_by_the_mouse_is_looked_at(
    server: tuple[str, Path], project: Path, browser: Browser
) -> None:
    address, _ = server
    browser.open(f"{address}/", 900)
    until(browser, "document.getElementById('about').textContent.includes('CIDEr-D 1.250')")
    assert browser.evaluate("document.getElementById('about').checkVisibility()") is False
    browser.evaluate("document.querySelector('summary').click()")
    until(browser, "document.getElementById('about').checkVisibility()")
    assert "data/reduced: MD5 " in browser.evaluate("document.getElementById('about').innerText")
    drag(browser, "dragEnter", project / IMAGES[0])
    drag(browser, "dragOver", project / IMAGES[0])
    until(browser, "document.getElementById('drop').classList.contains('over')")
    drag(browser, "drop", project / IMAGES[0])
    until(browser, "!document.getElementById('result').hidden")
    assert browser.evaluate("document.getElementById('drop').classList.contains('over')") is False
    assert browser.evaluate("location.href") == f"{address}/"  # the file was not opened in its place
    dropped = browser.evaluate("document.getElementById('captions').innerText")
    assert errors(browser) == []
    choose(browser, project / IMAGES[1])
    until(browser, "document.getElementById('result').hidden")
    until(browser, "!document.getElementById('result').hidden")
    choose(browser, project / IMAGES[0])
    until(browser, "document.getElementById('result').hidden")
    until(browser, "!document.getElementById('result').hidden")
    assert browser.evaluate("document.getElementById('captions').innerText") == dropped != ""


def errors(browser: Browser) -> list[dict[str, Any]]:
    """What the page complained of."""
    return [
        event
        for event in browser.events
        if event.get("method") == "Runtime.exceptionThrown"
        or (
            event.get("method") == "Log.entryAdded"
            and event["params"]["entry"]["level"] in ("error", "warning")
        )
        or (
            event.get("method") == "Runtime.consoleAPICalled"
            and event["params"]["type"] in ("error", "warning")
        )
    ]


def test_the_page_has_limits_and_leads_nowhere_else(server: tuple[str, Path]) -> None:
    address, _ = server
    for path in (
        "/%2e%2e/server.py",
        "/server.py",
        "/page/index.html",
        "//etc/passwd",
        "/page.js/x",
    ):
        assert httpx.get(address + path).status_code == 404, path
    page = httpx.get(f"{address}/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    large = httpx.post(f"{address}/captions", files={"image": b" " * ((64 << 20) + 1)}, timeout=60)
    assert large.status_code == 413
    draft = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(draft, "PNG")
    many = httpx.post(f"{address}/captions", files={"image": draft.getvalue()}, timeout=60)
    assert (many.status_code, "at most 100 million pixels" in many.json()["message"]) == (400, True)
    file = {"image": picture()}
    for fields in (
        {}, {"captioner": "gru", "word": "0"}, {"captioner": "lstm"}, {"captioner": "lstm", "word": "-1"},
        {"captioner": "lstm", "word": "7", "caption": "a b"},
        *({"captioner": "lstm", "word": "0", "caption": text} for text in ("", "a " * 5, "a" * 10**6)),
    ):  # fmt: skip
        answered = httpx.post(f"{address}/pixels", files=file, data=fields, timeout=60)
        assert answered.status_code == 400, fields
    right = {"captioner": "lstm", "word": "1", "caption": "a b"}
    for path in ("captions", "pixels"):
        answered = httpx.post(f"{address}/{path}", files=file, data=right | {"beam_width": "1"}, timeout=60)
        assert (answered.status_code, "expected keys among" in answered.text) == (400, True), answered.text
    assert httpx.post(f"{address}/pixels", files=file, data=right, timeout=60).status_code == 200

"""`recap serve` answers what it should, and everything else with one line: no stack trace, no 500."""

import base64
import io
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from recap.backbones.build import build_backbone, save_backbone
from recap.cli.decodings import GREEDY
from recap.core.artifacts import write_json
from recap.decoders.build import build_decoder, save_decoder
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]
DECODING = asdict(replace(GREEDY, max_length=4))
ROW = {"features": [0.5, -0.5, 0.25, 1.0, 0.0]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with a backbone of five features."""
    import mlflow

    from recap.tracking import served_model
    from recap.tracking.models import make_signature

    folder = tmp_path_factory.mktemp("served")
    vocabulary = Vocabulary((*SPECIAL_WORDS, *"abcdefg"))
    sizes = {"name": "lstm", "feature_dim": 5, "vocabulary_size": len(vocabulary)}
    sizes |= {"wordvec_dim": 8, "hidden_dim": 8, "dropout": 0.0}
    pipeline = folder / "pipeline"
    save_decoder(pipeline / "decoder", build_decoder(sizes, torch.Generator().manual_seed(0)), sizes)
    description = {"name": "small_vgg", "feature_dim": 5, "heads": {"colour": ["red", "blue"]}}
    save_backbone(pipeline / "backbone", description, build_backbone(description).state_dict())
    write_json(pipeline / "vocabulary.json", vocabulary.to_json())
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=served_model.__file__,
        artifacts={"pipeline": str(pipeline)},
        signature=make_signature(True, DECODING),
        model_config={"images": None},
        pip_requirements=[],
    )
    return folder / "model"


def picture() -> bytes:
    draft = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(draft, "PNG")
    return draft.getvalue()


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the folder below which it reads images."""
    from recap.tracking import scoring_server

    folder = tmp_path_factory.mktemp("images") / "shown"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture())
    (folder.parent / "secret.png").write_bytes(picture())
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-P", scoring_server.__file__, str(model), "--port", str(port)]
    command += [f"--host=127.0.0.1:{port}", "--host=captions.example", f"--images={folder}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 120
            while True:
                try:
                    assert httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}", folder
        finally:
            process.terminate()
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()


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
            "row 0: expected an image as base64, or a path below the folder that was named at start, "
            "received another text",
        )
    }


def test_a_model_without_a_named_folder_reads_no_file(model: Path, server: tuple[str, Path]) -> None:
    import mlflow
    import pandas
    from mlflow.exceptions import MlflowException

    path = str(server[1] / "a.png")
    with pytest.raises(MlflowException, match="expected an image as base64"):
        mlflow.pyfunc.load_model(str(model)).predict(pandas.DataFrame({"image": [path]}))


def test_what_is_misspelt_is_refused(server: tuple[str, Path]) -> None:
    address, _ = server
    status, rows = ask(address, {"dataframe_records": [ROW], "params": {"max_length": 1}})
    assert status == 200
    assert len(rows[0]["caption"].split()) <= 1
    for body, message in (
        ({"dataframe_records": [ROW], "params": {"max_lenght": 1}}, 'received "max_lenght"'),
        ({"dataframe_records": [ROW], "param": {}}, 'received "param"'),
        ({"dataframe_records": [ROW | {"imgae": "x"}]}, 'received "imgae"'),
        ({"dataframe_split": {"columns": ["fetures"], "data": [[[1.0]]]}}, 'received "fetures"'),
        ({"inputs": {"fetures": [[1.0]]}}, 'received "fetures"'),
        ({"dataframe_records": [ROW], "params": [1]}, "params: expected an object"),
        ({"dataframe_records": [ROW], "params": {"max_length": 0}}, "max_length"),
        ({"dataframe_records": [ROW], "params": {"max_length": "many"}}, "max_length"),
    ):
        status, answer = ask(address, body)
        assert (status, message in answer) == (400, True), answer


def test_only_hosts_that_are_named_are_answered(server: tuple[str, Path]) -> None:
    address, _ = server
    body = {"dataframe_records": [ROW]}
    assert ask(address, body, Host="captions.example")[0] == 200
    assert ask(address, body, Host="CAPTIONS.example")[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1", "10.evil.example", "127.0.0.1:1", ""):
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
    without = httpx.Client().build_request("POST", f"{address}/invocations", content=b"{}")
    assert httpx.Client().send(without).status_code == 415
    assert httpx.get(f"{address}/invocations").status_code == 405
    assert httpx.get(f"{address}/else").json()["message"] == "Not Found"
    large = 10**400
    for body in (
        b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"null", b"3", b'"x"', b"[]", b"{}",
        {"dataframe_records": None}, {"dataframe_records": 3}, {"dataframe_records": [None]},
        {"dataframe_records": [[1]]}, {"dataframe_records": {"a": 1}}, {"dataframe_records": [{}]},
        {"dataframe_records": [ROW], "instances": [ROW]}, {"dataframe_split": {"columns": 3}},
        {"dataframe_split": {"columns": ["features"], "data": [[1, 2]]}}, {"dataframe_split": []},
        {"dataframe_split": {"columns": ["features", "features"], "data": [[[1.0], [2.0]]]}},
        {"inputs": 3}, {"inputs": {"features": {"a": 1}}}, {"inputs": [[["a"]]]}, {"instances": {"a": []}},
        *({"dataframe_records": [{"features": value}]} for value in (
            None, "x", 3, [], {}, [[1.0]], ["a"], [None] * 5, [True] * 4, [1e300] * 5, [large] * 5,
            [float("nan")] * 5, [float("inf")] * 5, [[1], 2, 3, 4, 5], [{}] * 5)),
        *({"dataframe_records": [{"image": value}]} for value in (
            3, [], {}, True, "", " ", "=", "data:,", "\ud800", "a" * 5000 + "!", "aGVsbG8=", 1e99)),
        {"dataframe_records": [ROW, {"image": 3}]}, {"dataframe_records": [ROW, {}]},
        {"dataframe_records": [ROW], "params": {"banned_words": [3]}},
        {"dataframe_records": [ROW], "params": {"banned_words": "a"}},
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


@pytest.mark.parametrize("variable", ["OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true"])
def test_a_model_refuses_to_caption_with_wrong_products(model: Path, variable: str) -> None:
    program = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import mlflow, pandas, torch\n"
        "torch.set_num_threads(4)\n"
        f"model = mlflow.pyfunc.load_model({str(model)!r})\n"
        f"print(model.predict(pandas.DataFrame([{ROW!r}]))['caption'][0])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | dict([variable.split("=")]),
        capture_output=True,
        text=True,
    )
    refused = "the matrix product of this process: expected an error below 0.001" in result.stderr
    right = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert refused or result.stdout == right.stdout
    if variable == "OMP_THREAD_LIMIT=1":
        assert refused

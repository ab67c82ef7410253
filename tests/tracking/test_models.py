"""Decoders as MLflow models: what is registered, which one is champion, and what a served one answers."""

import base64
import functools
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.settings import GREEDY

from recap.errors import InputError
from recap.tracking.models import model_address
from recap.tracking.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # MLflow's own
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]
FEATURES, REDUCED = 12, 5
PARAMS = f"""\
score: 0.5
evaluate:
  batch_size: 256
  decoding: {json.dumps(asdict(GREEDY))}
runtime: {{arithmetic: portable, threads: 2, device: cpu}}
backbone: true
"""
PIPELINE = """\
stages:
  make:
    cmd: python stages/make.py
    params: [backbone]
    deps: [stages/make.py]
    outs: [models, data]
  evaluate:
    matrix:
      decoder: [lstm]
    cmd: python stages/evaluate.py
    params: [score]
    deps: [models, data/captions]
    metrics:
      - reports/metrics.json: {cache: false}
  record:
    cmd: python stages/record.py
    deps: [data, models, reports, stages/record.py]
"""
MAKE = f"""\
from pathlib import Path
import numpy as np, torch
from common import CONFIG
from recap.core.artifacts import write_json, write_png, write_safetensors
from recap.core.feature_files import write_features
from recap.text.vocabulary import build_vocabulary
from recap.decoders.build import build_decoder, save_decoder
from recap.tracking.stage import execute, start
from recap.backbones.build import build_backbone, save_backbone
from recap.features.familiarity import write_familiarity

def main():
    with start("make"):
        torch.manual_seed(5)
        random = np.random.default_rng(5)
        vocabulary = build_vocabulary([["a", "red", "seven", "left", "of", "two"]], 1, None)
        write_json(Path("data/captions/vocabulary.json"), vocabulary.to_json())
        write_json(Path("data/captions/references_test.json"), ["a dog"])
        sizes = dict(feature_dim={REDUCED}, wordvec_dim=8, hidden_dim=8, dropout=0.0)
        model = dict(name="lstm", vocabulary_size=len(vocabulary), **sizes)
        save_decoder(Path("models/lstm"), build_decoder(model, torch.Generator().manual_seed(5)), model)
        description = dict(name="small_vgg", feature_dim={FEATURES}, heads=dict(digit=["seven", "two"]))
        if CONFIG["backbone"]:
            save_backbone(Path("models/backbone"), description, build_backbone(description).state_dict())
        write_png(Path("data/image.png"), random.integers(0, 255, (64, 64, 3), dtype=np.uint8))
        matrix = torch.from_numpy(random.normal(size=({REDUCED}, {FEATURES})))
        pca = dict(components=matrix, mean=torch.zeros({FEATURES}, dtype=torch.float64))
        write_safetensors(Path("data/reduced/pca.safetensors"), pca)
        reduced = random.normal(size=(4, {REDUCED})).astype(np.float32)
        for name in ("train.h5", "validation.h5"):
            write_features(Path("data/reduced", name), np.tile(reduced, (5, 1)))
        write_familiarity(Path("data/reduced"))
        write_features(Path("data/features/test.h5"), random.normal(size=(4, {FEATURES})).astype(np.float32))

execute(main)
"""
EVALUATE = """\
from pathlib import Path
from common import CONFIG
from recap.core.artifacts import write_json
from recap.tracking.stage import execute, start

def main():
    with start("evaluate/lstm") as run:
        metrics = {"seen": {"cider_d": CONFIG["score"]}}
        write_json(Path("reports/metrics.json"), metrics)
        run.log_metrics(metrics)

execute(main)
"""


@pytest.fixture(scope="module")
def make_models(make_checkout: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Makes a pipeline of an untrained decoder with a score from params.yaml, and runs it once."""

    def make(root: Path, backbone: str = "true") -> Any:
        checkout = make_checkout(root)
        files = {"params.yaml": PARAMS.replace("true", backbone), "dvc.yaml": PIPELINE}
        for name, text in (files | {"stages/make.py": MAKE, "stages/evaluate.py": EVALUATE}).items():
            (root / name).write_text(text)
        checkout.dvc("repro")
        checkout.sync()
        return checkout

    return make


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, make_models: Callable[[Path], Any]) -> Any:
    """A pipeline that has run three times, with scores 0.5, 0.25 and 0.75."""
    checkout = make_models(tmp_path_factory.mktemp("models") / "checkout")
    for old, new in (("0.5", "0.25"), ("0.25", "0.75")):
        assert versions(checkout).index(True) == 0, "a worse score does not take the alias"
        checkout.edit(f"score: {old}", f"score: {new}")
        checkout.dvc("repro")
        checkout.sync()
    return checkout


def versions(checkout: Any) -> list[bool]:
    """Whether each version of the decoder is champion, by number."""
    client = checkout.runs().client
    champion = int(client.get_model_version_by_alias("recap-lstm", "champion").version)
    numbers = sorted(int(found.version) for found in client.search_model_versions("name = 'recap-lstm'"))
    assert numbers == list(range(1, len(numbers) + 1))
    return [number == champion for number in numbers]


def load(checkout: Any) -> Any:
    """The champion as anybody loads it."""
    import mlflow

    client = checkout.runs().client
    run = client.get_model_version_by_alias("recap-lstm", "champion").run_id
    folder = client.download_artifacts(run, "model")
    return mlflow.pyfunc.load_model(folder, model_config={"images": str(checkout.root / "data")})


@contextmanager
def server(command: list[str], checkout: Any, port: int) -> Iterator[str]:
    """A process that serves a model; gives the address of its predictions."""
    log = checkout.root.parent / "server.log"
    variables = checkout.environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{checkout.root}/mlflow.db"}
    with (
        open(log, "wb") as output,
        subprocess.Popen(
            command, cwd=checkout.root, env=variables, stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            until = time.monotonic() + 240
            ping = ["curl", "--silent", "--fail", f"http://127.0.0.1:{port}/ping"]
            while subprocess.run(ping, capture_output=True).returncode:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            process.terminate()


def curl(address: str, body: dict[str, Any]) -> tuple[int, Any]:
    """POST with curl; the status and the answer."""
    command = ["curl", "--silent", "--write-out", "\n%{http_code}", "--json", "@-", address]
    result = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, check=True)
    answer, _, status = result.stdout.rpartition("\n")
    return int(status), json.loads(answer)


def test_the_alias_moves_to_a_better_score_only(checkout: Any) -> None:
    assert versions(checkout) == [False, False, True]
    before = checkout.runs().client.search_model_versions("name = 'recap-lstm'")
    checkout.sync()
    after = checkout.runs().client.search_model_versions("name = 'recap-lstm'")
    assert len(after) == len(before), "a second sync registers nothing"
    scores = {int(found.version): found.tags["recap.cider_d"] for found in after}
    assert scores == {1: "0.5", 2: "0.25", 3: "0.75"}


def test_an_equal_score_leaves_the_alias(tmp_path: Path, make_models: Callable[[Path], Any]) -> None:
    checkout = make_models(tmp_path / "checkout")
    checkout.dvc("repro", "--force", "--single-item", "evaluate@lstm")
    checkout.sync()
    assert versions(checkout) == [True, False]


def test_a_model_says_what_it_takes_and_gives(checkout: Any) -> None:
    model = load(checkout)
    signature = model.metadata.signature
    assert signature.inputs.input_names() == ["features", "image"]
    assert signature.outputs.input_names() == ["caption", "log_probability", "familiar"]
    assert {"max_length", "allow_unknown"} <= {param.name for param in signature.params.params}
    answer = model.predict(model.input_example)
    assert list(answer.columns) == ["caption", "log_probability", "familiar"]
    assert (answer["log_probability"] < 0).all()
    assert answer["familiar"].isin([True, False]).all()
    client = checkout.runs().client
    run = client.get_model_version_by_alias("recap-lstm", "champion").run_id
    names = {path.name for path in Path(client.download_artifacts(run, "model")).rglob("*")}
    assert {"model.json", "weights.safetensors", "MLmodel"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".bin"))]


def test_features_a_path_and_base64_of_one_image_agree(checkout: Any) -> None:
    import torch

    from recap.backbones.build import load_backbone
    from recap.backbones.images import load_images

    image = checkout.root / "data" / "image.png"
    backbone = load_backbone(checkout.root / "models" / "backbone")
    with torch.inference_mode():
        features = backbone.features(backbone.preprocess(load_images([image], backbone)))[0].numpy()  # (D,)
    encoded = base64.b64encode(image.read_bytes()).decode()
    model = load(checkout)
    images = ["image.png", encoded, f"data:image/png;base64,{encoded}"]
    by_image = model.predict(pd.DataFrame({"image": images}))
    by_features = model.predict(pd.DataFrame({"features": [features.tolist()]}))
    assert by_image["caption"].tolist() == 3 * by_features["caption"].tolist()
    np.testing.assert_allclose(by_image["log_probability"], by_features["log_probability"][0], rtol=1e-4)
    short = model.predict(pd.DataFrame({"features": [features.tolist()]}), params={"max_length": 1})
    assert len(short["caption"][0].split()) <= 1


def test_recap_serve_answers_curl(checkout: Any, free_port: Callable[[], int]) -> None:
    port = free_port()
    command = [sys.executable, "-m", "recap.cli", "serve", "lstm", "--champion", "--port", str(port)]
    image = base64.b64encode((checkout.root / "data" / "image.png").read_bytes()).decode()
    features = [0.5] * FEATURES
    with server(command, checkout, port) as address:
        status, answer = curl(address, {"dataframe_records": 2 * [{"features": features}]})
        assert status == 200
        assert [set(row) for row in answer["predictions"]] == 2 * [{"caption", "log_probability", "familiar"}]
        assert curl(address, {"dataframe_records": [{"image": image}]})[0] == 200
        body = {"dataframe_records": [{"features": features}], "params": {"max_length": 1}}
        status, answer = curl(address, body)
        assert (status, len(answer["predictions"][0]["caption"].split()) <= 1) == (200, True)
        undecodable = base64.b64encode(b"no image").decode()
        wrongs: list[tuple[list[dict[str, Any]], str]] = [
            ([{"features": features[:3]}], "row 0: expected 12 finite features"),
            ([{"image": "no image"}], "row 0: expected an image as base64"),
            ([{"image": undecodable}], "row 0: expected an image that decodes"),
            ([{}], "expected"),
            ([], "expected"),
        ]
        for rows, message in wrongs:
            status, answer = curl(address, {"dataframe_records": rows})
            assert status == 400
            assert message in answer["message"]
        assert curl(address, {"dataframe_records": [{"features": features}]})[0] == 200, "it still answers"


def test_mlflow_serves_a_version_without_a_backbone(
    tmp_path: Path, make_models: Callable[..., Any], free_port: Callable[[], int]
) -> None:
    checkout = make_models(tmp_path / "checkout", backbone="false")
    assert load(checkout).metadata.signature.inputs.input_names() == ["features"]
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/recap-lstm/1"]
    command += ["--env-manager", "local", "--port", str(port), "--workers", "1"]
    with server(command, checkout, port) as address:
        assert curl(address, {"dataframe_records": [{"features": [0.5] * FEATURES}]})[0] == 200


def test_an_unknown_decoder_or_version_ends_in_a_line(checkout: Any) -> None:
    result = checkout.recap("serve", "gru", "--champion", code=2)
    assert result.stderr == "serve: expected a registered decoder (lstm), received 'gru'\n"
    result = checkout.recap("serve", "lstm", "--version", "9", code=2)
    assert result.stderr == "serve: lstm: expected one of the versions 1, 2, 3, received 9\n"


def test_a_model_is_registered_from_its_files_alone(
    tmp_path: Path, make_models: Callable[[Path], Any], open_store: Callable[[Path], Any]
) -> None:
    checkout = make_models(tmp_path / "checkout")
    checkout.edit("score: 0.5", "score: 0.25")
    address = functools.partial(model_address, open_store(checkout.root), "lstm")
    checkout.dvc("repro")
    assert address(None) == "models:/recap-lstm@champion"
    assert address(1) == "models:/recap-lstm/1"
    assert versions(checkout) == [True, False]
    checkout.edit("score: 0.25", "score: 0.125")
    checkout.dvc("repro", RECAP_TRACKING="off")
    with pytest.raises(InputError, match="expected one of the versions 1, 2, received 3"):
        address(3)
    checkout.sync()
    assert address(3) == "models:/recap-lstm/3"


def test_scores_on_other_references_leave_the_alias(
    tmp_path: Path, make_models: Callable[[Path], Any]
) -> None:
    checkout = make_models(tmp_path / "checkout")
    make = (checkout.root / "stages" / "make.py").read_text()
    other_words, other_references = (
        make.replace('"seven", "left"', '"six", "left"'),
        make.replace('"a dog"', '"a cat"'),
    )
    assert len({make, other_words, other_references}) == 3
    (checkout.root / "stages" / "make.py").write_text(other_references)
    checkout.edit("score: 0.5", "score: 0.75")
    checkout.dvc("repro")
    assert versions(checkout) == [True, False], "other captions: better tells nothing"
    (checkout.root / "stages" / "make.py").write_text(other_words)
    checkout.edit("score: 0.75", "score: 0.625")
    checkout.dvc("repro")
    assert versions(checkout) == [False, False, True], "another vocabulary, the same references"
    client = checkout.runs().client
    client.delete_run(client.get_model_version("recap-lstm", "3").run_id)
    checkout.sync()
    assert versions(checkout)[:3] == [True, False, False], "no alias on a deleted run"
    (first,) = {client.get_model_version("recap-lstm", "1").tags["recap.references"]}
    assert (
        first == hashlib.md5((checkout.root / "data/captions/references_test.json").read_bytes()).hexdigest()
    )


@pytest.fixture
def open_store() -> Callable[[Path], Any]:
    """Opens the store of a checkout."""
    return lambda root: Store({"DVC_ROOT": str(root)})

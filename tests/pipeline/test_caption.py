"""`recap caption` says of photographs what `evaluate` wrote, by every way to ask."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

import recap
from recap.core.raw_data import load_raw

pytestmark = [pytest.mark.slow, pytest.mark.shared, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
DECODERS = ("rnn", "lstm")
STAGES = ["fetch", "tokenize", "backbone", "extract", "reduce"]
STAGES += [f"{stage} {name}" for stage in ("train", "evaluate") for name in DECODERS]


@pytest.fixture(scope="module")
def run(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose stages have captioned photographs, after a short training."""
    root, real, weights = tmp_path_factory.mktemp("photographs"), shared / "real", shared / "weights"
    for name in ("src", "stages"):
        (root / name).symlink_to(ROOT / name)
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["source"] = "folder"
    params["data"]["folder"] = {
        "images": str(real / "images"),
        "train_captions": str(real / "images_captions_train.json"),
        "validation_captions": None,
        "test_captions": str(real / "images_captions_val.json"),
    }
    params["features"] |= {
        "backbone": "squeezenet1_1",
        "weights": str(weights / "squeezenet1_1.safetensors"),
        "class_names": str(weights / "imagenet_classes.txt"),
    }
    params["reduce"]["components"] = 128
    params["tokenize"]["min_count"] = 3
    params["train"] |= {"batch_size": 32, "label_smoothing": 0.0, "warmup_steps": 10}
    params["decoders"]["names"] = list(DECODERS)
    for name in DECODERS:
        params["decoders"][name]["epochs"] = 6
    (root / "params.yaml").write_text(json.dumps(params), encoding="utf-8")
    environment = os.environ | {"RECAP_TRACKING": "off", "PYTHONPATH": "src"}
    for stage in STAGES:
        name, *rest = stage.split()
        command = [sys.executable, "-P", "-m", "recap.run_stage", f"stages/{name}.py", *rest]
        result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, (stage, result.stderr)
    return root


def evaluated(run: Path, name: str) -> dict[int, str]:
    """What `evaluate` wrote: the caption of each image by its id."""
    rows = json.loads((run / "reports" / "decoders" / name / "captions.json").read_bytes())
    return {row["image_id"]: row["caption"] for row in rows}


def photographs(run: Path) -> dict[int, Path]:
    raw = load_raw(run / "data" / "raw")
    images = raw.captions("test")["images"]
    return dict(zip((image["id"] for image in images), raw.image_paths("test"), strict=True))


def ask(run: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", "recap.cli", "caption", "--json", *arguments]
    result = subprocess.run(command, cwd=run, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", DECODERS)
def test_every_way_says_what_evaluate_wrote(run: Path, name: str, tmp_path: Path) -> None:
    expected, pictures = evaluated(run, name), photographs(run)
    assert len(expected) == 60
    assert len(set(expected.values())) > 5, "the captions tell the photographs apart"
    rows = ask(run, "--decoder", name, "data/raw/images/test")
    assert {row["image_id"]: row["caption"] for row in rows} == expected
    captioner = recap.load(run / "models" / name)
    together = captioner.caption(list(pictures.values()))
    alone = [captioner.caption([picture])[0] for picture in pictures.values()]
    for found in (together, alone):
        assert [caption.text for caption in found] == list(expected.values())
    bundle = tmp_path / "bundle"
    command = [sys.executable, "-m", "recap.cli", "bundle", str(bundle), "--decoder", name]
    subprocess.run(command, cwd=run, check=True, capture_output=True)
    rows = ask(tmp_path, "--model", "bundle", str(run / "data" / "raw" / "images" / "test"))
    assert [row["caption"] for row in rows] == list(expected.values())


def test_the_server_says_what_evaluate_wrote(run: Path) -> None:
    expected, pictures = evaluated(run, "lstm"), photographs(run)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "recap.cli", "serve", "lstm", "--port", str(port)]
    address = f"http://127.0.0.1:{port}/invocations"
    with subprocess.Popen(command, cwd=run, stdout=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/ping")
                    break
                except httpx.TransportError:
                    assert time.monotonic() < until
                    time.sleep(0.2)
            rows = [{"image": base64.b64encode(path.read_bytes()).decode()} for path in pictures.values()]
            by_json = httpx.post(address, json={"dataframe_records": rows}, timeout=120).json()
            files = [("image", path.read_bytes()) for path in pictures.values()]
            by_form = httpx.post(address, files=files, timeout=120).json()
        finally:
            process.terminate()
    for found in (by_json, by_form):
        assert [row["caption"] for row in found["predictions"]] == list(expected.values())

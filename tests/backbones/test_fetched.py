"""Fetched weights are verified before they become the backbone of the pipeline."""

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from recap.backbones.backbone import Backbone
from recap.backbones.build import load_backbone
from recap.backbones.config import FeaturesConfig
from recap.backbones.fetched import prepare_fetched
from recap.core.artifacts import write_safetensors
from recap.errors import InputError
from recap.sources.download import Files


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def weights(random_squeezenet: Backbone, tmp_path: Path) -> Path:
    path = tmp_path / "origin" / "squeezenet.safetensors"
    write_safetensors(path, random_squeezenet.state_dict())
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = partial(QuietHandler, directory=str(tmp_path / "origin"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "downloads", tmp_path / "downloads.json", offline=False)


def settings(weights: object, sha256: str | None = None, names: object = None) -> FeaturesConfig:
    return FeaturesConfig(
        "squeezenet1_1",
        None,
        None if weights is None else str(weights),
        sha256,
        None if names is None else str(names),
        32,
        1,
        False,
    )


def test_weights_from_a_path_and_from_a_url_are_the_same_backbone(
    weights: Path, server: str, tmp_path: Path
) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    summary = prepare_fetched(settings(weights, digest), tmp_path / "a", files(tmp_path))
    assert summary == {"parameters": 1_235_496}
    prepare_fetched(settings(f"{server}/{weights.name}", digest.upper()), tmp_path / "b", files(tmp_path))
    for name in ("backbone.json", "weights.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert load_backbone(tmp_path / "a").heads["class"][7] == "class 7"


def test_class_names_come_from_a_file(weights: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("".join(f"thing {index}\n" for index in range(1000)))
    prepare_fetched(settings(weights, names=names), tmp_path / "a", files(tmp_path))
    assert load_backbone(tmp_path / "a").heads["class"][999] == "thing 999"
    names.write_text("thing\n" * 999)
    with pytest.raises(InputError, match="expected 1000 names, one a line, received 999 lines"):
        prepare_fetched(settings(weights, names=names), tmp_path / "b", files(tmp_path))


def test_bad_weights_are_one_line_and_leave_nothing(weights: Path, server: str, tmp_path: Path) -> None:
    text = tmp_path / "origin" / "text.safetensors"
    text.write_text("no weights")
    cases = {
        "received null": settings(None),
        "expected a path or URL of a file": settings(tmp_path / "absent"),
        "expected SHA-256 00": settings(weights, "00"),
        "expected weights in safetensors format": settings(text),
        "404": settings(f"{server}/absent"),
    }
    for message, config in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            prepare_fetched(config, tmp_path / "out", files(tmp_path))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_published_weights_are_converted_and_pickles_that_run_code_are_not(
    weights: Path, server: str, random_squeezenet: Backbone, tmp_path: Path
) -> None:
    torch.save(random_squeezenet.state_dict(), tmp_path / "origin" / "weights.pth")
    prepare_fetched(settings(weights), tmp_path / "a", files(tmp_path))
    prepare_fetched(settings(f"{server}/weights.pth"), tmp_path / "b", files(tmp_path))
    for name in ("backbone.json", "weights.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    for name, content in (("harm.pth", {"weight": Harm()}), ("list.pth", [torch.zeros(2)])):
        torch.save(content, tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: expected") as caught:
            prepare_fetched(settings(tmp_path / name), tmp_path / "c", files(tmp_path))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "harm").exists()

"""Weights from elsewhere that are broken or of another kind: one line each, nothing run or blown up."""

import io
import json
import os
import pickle
import random
import resource
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from recap.backbones.backbone import Backbone
from recap.backbones.build import load_backbone, load_weights, save_backbone
from recap.backbones.config import FeaturesConfig
from recap.backbones.fetched import prepare_fetched
from recap.decoders.build import build_decoder, load_decoder, save_decoder
from recap.errors import InputError
from recap.features.projection import load_projection
from recap.runtime.checkpoints import Checkpoints
from recap.sources.download import Files

NAME = "classifier.1.bias"


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[bytes, str], str]:
    """Gives a file of weights to the stage and returns the line that refuses it, its path left out."""

    def prepare(content: bytes, ending: str) -> str:
        path = tmp_path / f"weights.{ending}"
        path.write_bytes(content)
        config = FeaturesConfig("squeezenet1_1", None, str(path), None, None, 32, 1, False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(InputError) as caught:
            prepare_fetched(
                config, tmp_path / "out", Files(tmp_path / "d", tmp_path / "r.json", offline=True)
            )
        message = str(caught.value)
        assert message.startswith(f"{path}: expected ")
        assert "\n" not in message
        assert len(message) < 1000
        assert not (tmp_path / "out").exists()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
        return message.removeprefix(f"{path}: ")

    return prepare


def pickled(weights: Any) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(weights, file)
    return file.getvalue()


def test_tensors_of_another_kind_are_named(
    random_squeezenet: Backbone, refuse: Callable[[bytes, str], str]
) -> None:
    weights = dict(random_squeezenet.state_dict())
    bias = weights[NAME]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
        quantised = torch.quantize_per_tensor(bias, 0.1, 0, torch.qint8)
    kinds = {
        "is quantised instead of plain numbers": quantised,
        "is nested or torch.sparse_coo instead of plain numbers": bias.to_sparse(),
        "has no values, only a shape": bias.to("meta"),
        "is torch.complex64 instead of torch.float32": bias.to(torch.complex64),
        "is torch.int64 instead of torch.float32": bias.long(),
        "is torch.bool instead of torch.float32": bias.bool(),
        "is torch.float8_e4m3fn instead of torch.float32": bias.to(torch.float8_e4m3fn),
        "has shape (999,) instead of (1000,)": bias[1:].clone(),
        "has shape () instead of (1000,)": torch.tensor(1.0),
        "has shape (1000000, 1000000, 1000000) instead of (1000,)": torch.zeros(1).expand(
            10**6, 10**6, 10**6
        ),
        "holds values that are not finite": torch.where(bias == bias[0], torch.nan, bias),
    }
    for message, tensor in kinds.items():
        assert f"{NAME} {message}" in refuse(pickled(weights | {NAME: tensor}), "pth")
    assert "expected" in refuse(pickled(weights | {NAME: nested}), "pth")
    assert f"{NAME} is absent" in refuse(pickled({k: v for k, v in weights.items() if k != NAME}), "pth")
    assert "extra is unknown" in refuse(pickled(weights | {"extra": bias}), "pth")
    for other in ({}, [], None, 3, bias, {1: bias}, {NAME: 3}, {NAME: {}}, {"state_dict": weights}):
        refuse(pickled(other), "pth")


def test_shared_and_half_precision_tensors_are_taken(random_squeezenet: Backbone, tmp_path: Path) -> None:
    weights = dict(random_squeezenet.state_dict())
    whole = torch.cat([value.flatten() for value in weights.values()])
    shared, start = {}, 0
    for name, value in weights.items():
        shared[name] = whole[start : start + value.numel()].view(value.shape)
        start += value.numel()
    (tmp_path / "a.pth").write_bytes(pickled(shared))
    (tmp_path / "b.pth").write_bytes(pickled({name: value.half() for name, value in weights.items()}))
    files = Files(tmp_path / "d", tmp_path / "r.json", offline=True)
    for name in ("a", "b"):
        config = FeaturesConfig(
            "squeezenet1_1", None, str(tmp_path / f"{name}.pth"), None, None, 32, 1, False
        )
        prepare_fetched(config, tmp_path / name, files)
    read = load_backbone(tmp_path / "a").state_dict()
    assert all(torch.equal(read[name], value) for name, value in weights.items())
    read = load_backbone(tmp_path / "b").state_dict()
    assert all(torch.equal(read[name], value.half().float()) for name, value in weights.items())


def test_flipped_and_cut_files_are_refused(
    random_squeezenet: Backbone, refuse: Callable[[bytes, str], str], tmp_path: Path
) -> None:
    weights = random_squeezenet.state_dict()
    draw = random.Random(0)
    legacy = io.BytesIO()
    torch.save(weights, legacy, _use_new_zipfile_serialization=False)
    contents = {"pth": [pickled(weights), legacy.getvalue()], "safetensors": [save(weights)]}
    for ending, wholes in contents.items():
        for whole in wholes:
            for length in (0, 1, 9, 100, 4096, len(whole) // 2, len(whole) - 1):
                refuse(whole[:length], ending)
            for _ in range(30):
                changed = bytearray(whole)
                changed[draw.randrange(2000)] ^= 1 << draw.randrange(8)
                path = tmp_path / f"flipped.{ending}"
                path.write_bytes(changed)
                config = FeaturesConfig("squeezenet1_1", None, str(path), None, None, 32, 1, False)
                try:  # a flipped bit of a weight is a weight; the SHA-256 is what finds it
                    prepare_fetched(
                        config, tmp_path / "f", Files(tmp_path / "d", tmp_path / "r", offline=True)
                    )
                except InputError as error:
                    assert "\n" not in str(error)  # noqa: PT017


def test_headers_that_lie_are_refused(refuse: Callable[[bytes, str], str]) -> None:
    def file(header: Any, body: bytes = b"") -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + body

    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    for header in (
        b"", b"{", b"[]", b"null", b"[" * 50_000, {}, {"a": 3}, {"a": {}}, {"a": entry | {"dtype": "X"}},
        {"a": entry | {"shape": [1 << 62, 1 << 62]}}, {"a": entry | {"shape": [-2]}},
        {"a": entry | {"data_offsets": [0, 1 << 60]}}, {"a": entry | {"data_offsets": [8, 0]}},
        {"a": entry | {"dtype": "F8_E8M0", "shape": [8]}}, {"a": entry}, {"\ud800": 1},
        {"a": entry | {"dtype": "F4"}},
    ):  # fmt: skip
        refuse(file(header, b"\0" * 8), "safetensors")
    refuse(struct.pack("<Q", 1 << 63) + b"{}", "safetensors")


def test_a_file_that_is_far_too_large_is_not_read(refuse: Callable[[bytes, str], str]) -> None:
    size = 100 << 20
    for ending in ("pth", "safetensors"):
        assert f"received {size}" in refuse(b"\0" * size, ending)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", b"\0" * (400 << 20))
    assert "packed members" in refuse(packed.getvalue(), "pth")


def test_no_pickle_runs_anything(refuse: Callable[[bytes, str], str], tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    for content in (pickle.dumps(Harm()), pickle.dumps({NAME: Harm()}), pickled({NAME: Harm()})):
        refuse(content, "pth")
    assert not (tmp_path / "harm").exists()


def test_a_backbone_of_an_odd_description_is_refused(random_squeezenet: Backbone, tmp_path: Path) -> None:
    good = {"name": "squeezenet1_1", "heads": {"class": ["a"] * 1000}}
    save_backbone(tmp_path, good, random_squeezenet.state_dict())
    load_weights(random_squeezenet, tmp_path / "weights.safetensors")
    odd = [None, [], 3, "x", {}, {"name": None}, {"name": "small_vgg"}, {"name": "squeezenet1_1"}]
    odd += [{"name": "none"}, good | {"heads": None}, good | {"heads": {"class": 3}}, good | {"heads": {}}]
    odd.append({"name": "small_vgg", "feature_dim": "x", "heads": {"a": ["b"]}})
    for description in odd:
        (tmp_path / "backbone.json").write_text(json.dumps(description))
        with pytest.raises(InputError) as caught:
            load_backbone(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_decoder_or_a_projection_that_is_damaged_is_refused(tmp_path: Path) -> None:
    model = {"name": "lstm", "feature_dim": 4, "vocabulary_size": 7, "wordvec_dim": 4, "hidden_dim": 4}
    model["dropout"] = 0.0
    save_decoder(tmp_path, build_decoder(model, torch.Generator().manual_seed(0)), model)
    weights = tmp_path / "weights.safetensors"
    whole = weights.read_bytes()
    draw = random.Random(1)
    wrong = [whole[:9], whole[:-1], b"", save({}), struct.pack("<Q", 2) + b"[]"]
    for _ in range(60):
        changed = bytearray(whole)
        changed[draw.randrange(300)] ^= 1 << draw.randrange(8)
        wrong.append(bytes(changed))
    for content in wrong:
        weights.write_bytes(content)
        try:
            load_decoder(tmp_path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
    weights.write_bytes(whole)
    odd = [[], None, {}, model | {"name": []}]
    for key, value in (
        ("hidden_dim", "x"),
        ("hidden_dim", -1),
        ("hidden_dim", 10**30),
        ("vocabulary_size", None),
    ):
        odd.append(model | {key: value})
    for values in odd:
        (tmp_path / "model.json").write_text(json.dumps(values))
        with pytest.raises(InputError) as caught:
            load_decoder(tmp_path)
        assert "\n" not in str(caught.value)
    path = tmp_path / "pca.safetensors"
    a, b = torch.zeros(2, 3), torch.zeros(3)
    contents = [
        b"",
        save({"mean": b}),
        save({"components": a, "mean": a.clone()}),
        save({"components": b, "mean": b.clone()}),
    ]
    for content in (*contents, save({"components": a, "mean": torch.zeros(2)})):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"\A.*of a PCA, received.*\Z"):
            load_projection(path)
    concepts = {"landmarks": (5, 3), "width": (1,), "weights": (5, 4), "offset": (4,)}
    for name, shape in concepts.items():
        tensors = {f"concept_{key}": torch.ones(value) for key, value in concepts.items()}
        pca = {"components": a.clone(), "mean": b.clone()}
        path.write_bytes(save(pca | tensors))
        assert load_projection(path)(torch.ones(2, 3)).shape == (2, 6)
        path.write_bytes(save(pca | tensors | {f"concept_{name}": torch.ones(*shape, 2)}))
        with pytest.raises(InputError, match=r"\A.*of concepts, received.*\Z"):
            load_projection(path)
        del tensors[f"concept_{name}"]
        path.write_bytes(save(pca | tensors))
        with pytest.raises(InputError, match=r"\A.*of a PCA, received.*\Z"):
            load_projection(path)


def test_checkpoints_pass_over_what_is_not_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "notes.checkpoint").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    (folder / "000000007.checkpoint").mkdir()
    (folder / "000000005.checkpoint").write_bytes(b"short")
    with Checkpoints(folder) as checkpoints:
        checkpoints.resume(None)  # type: ignore[arg-type]
        messages = capsys.readouterr().err.splitlines()
        assert messages == [
            "checkpoint of step 7: Is a directory, not used",
            "checkpoint of step 5: corrupt, not used",
        ]
        (folder / "000000007.checkpoint").rmdir()
        checkpoints.clear()
    assert sorted(path.name for path in folder.iterdir()) == ["notes.checkpoint", "notes.txt"]

"""Weights: fetched ones (.pth and safetensors), a decoder's, a PCA's."""

import io
import json
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_json
from tests.fuzz.surface import check_unpublished

from recap.backbones import fetched
from recap.backbones.backbone import Backbone
from recap.backbones.config import FeaturesConfig
from recap.backbones.fetched import prepare_fetched
from recap.decoders.build import build_decoder, load_decoder
from recap.errors import InputError
from recap.features.projection import load_projection
from recap.sources.download import Files

MODEL = {
    "name": "lstm",
    "feature_dim": 3,
    "vocabulary_size": 6,
    "wordvec_dim": 2,
    "hidden_dim": 2,
    "dropout": 0.0,
}
PICKLES = (
    b"cos\nsystem\n(S'true'\ntR.",
    b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00.",
    b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01u.",
    b"\x80\x02]q\x00h\x00a.",
    b"(" * 50_000,
    b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".",
)


def odd_tensors(weights: dict[str, torch.Tensor], generator: random.Random) -> dict[str, Any]:
    """Tensors of which one is of another kind."""
    changed: dict[str, Any] = dict(weights)
    name = generator.choice(sorted(changed))
    value = changed[name]
    changed[name] = generator.choice(
        (
            lambda: value.double(),
            lambda: value.to(torch.complex64),
            lambda: value.to_sparse(),
            lambda: value.to("meta"),
            lambda: torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8),
            lambda: value.expand(1, *value.shape),
            lambda: value.flatten()[:0],
            lambda: value * float("nan"),
            lambda: value.long(),
            lambda: value.bool(),
            lambda: value.bfloat16(),
            lambda: torch.nn.Parameter(value, requires_grad=value.is_floating_point()),
            lambda: value.t() if value.ndim == 2 else value.flatten().flip(0),
            lambda: next(iter(weights.values())),
            lambda: None,
            lambda: [1, 2],
            lambda: {"a": value},
            lambda: torch.empty(1).expand(2**40),
        )
    )()
    if generator.random() < 0.2:
        changed[generator.choice(("", "é", "\ud83d", 5, None, "a\nb"))] = changed.pop(name)  # type: ignore[index]
    return changed


class Tiny(Backbone):
    """A network of a hundred weights in place of SqueezeNet's million."""

    name = "squeezenet1_1"
    input_size = shorter_side = 8
    feature_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.heads = {"class": ("one", "two")}
        self.convolution = torch.nn.Conv2d(3, 2, 3)
        self.norm = torch.nn.BatchNorm2d(2)
        self.classifier = torch.nn.Linear(2, 2)


class Weights:
    def __init__(self) -> None:
        torch.manual_seed(0)
        fetched.build_backbone = lambda description: Tiny()  # type: ignore[assignment, return-value]
        self.fetched = dict(Tiny().state_dict())
        self.decoder = dict(build_decoder(MODEL, torch.Generator().manual_seed(0)).state_dict())
        self.pca = {"components": torch.ones(3, 4), "mean": torch.ones(4)}
        Path("decoder").mkdir()

    def draw(self, generator: random.Random) -> bytes:
        """The first byte says what the rest is: p(th), s(afetensors), d(ecoder), a (PCA), m(odel.json)."""
        kind = generator.choice("ppppssdam")
        if kind == "m":
            return b"m" + json_bytes(mutate_json(MODEL, generator))
        weights = {"p": self.fetched, "s": self.fetched, "d": self.decoder, "a": self.pca}[kind]
        change = generator.randrange(4)
        if kind == "p":
            tensors = odd_tensors(weights, generator) if change == 0 else weights
            content = self._pth(tensors, generator, odd_pickle=change == 1)
        else:
            content = save(weights)
            if change == 0:
                length = struct.unpack("<Q", content[:8])[0]
                head = json_bytes(mutate_json(json.loads(content[8 : 8 + length]), generator))
                content = struct.pack("<Q", len(head)) + head + content[8 + length :]
        if change > 1:
            place = generator.choice((len(content), 200))
            content = mutate_bytes(content[:place], generator) + content[place:]
        return kind.encode() + content

    @staticmethod
    def _pth(tensors: Any, generator: random.Random, odd_pickle: bool) -> bytes:
        file = io.BytesIO()
        wrapped = generator.choice((tensors, tensors, tensors, [tensors], {"state_dict": tensors}))
        try:
            torch.save(wrapped, file, _use_new_zipfile_serialization=generator.random() < 0.6)
        except Exception:  # what cannot be written is of no use
            torch.save(list(tensors), file := io.BytesIO())
        if not odd_pickle:
            return file.getvalue()
        if not zipfile.is_zipfile(file):
            return generator.choice((*PICKLES, pickle.dumps({"a": 1}), pickle.dumps(set())))
        target = io.BytesIO()
        with zipfile.ZipFile(file) as source, zipfile.ZipFile(target, "w") as packed:
            for entry in source.infolist():
                content = source.read(entry)
                if entry.filename.endswith("data.pkl"):
                    odd = generator.choice(PICKLES)
                    content = odd if generator.random() < 0.4 else mutate_bytes(content, generator)
                packed.writestr(entry.filename, content)
        return target.getvalue()

    def run(self, content: bytes) -> bool:
        kind, content = content[:1], content[1:]
        if kind in (b"p", b"s"):
            path = Path("weights.pth" if kind == b"p" else "weights.safetensors")
            path.write_bytes(content)
            config = FeaturesConfig("squeezenet1_1", None, str(path), None, None, 8, 1, False)
            target = Path("backbone")
            for old in target.glob("*"):
                old.unlink()
            try:
                prepare_fetched(
                    config, target, Files(Path("downloads"), Path("downloads.json"), offline=True)
                )
            except InputError:
                check_unpublished(target, "backbone.json")
                raise
        elif kind == b"a":
            Path("pca.safetensors").write_bytes(content)
            load_projection(Path("pca.safetensors"))(torch.ones(2, 4))
        else:
            weights, model = (content, json_bytes(MODEL)) if kind == b"d" else (save(self.decoder), content)
            Path("decoder/weights.safetensors").write_bytes(weights)
            Path("decoder/model.json").write_bytes(model)
            load_decoder(Path("decoder"))
        return True

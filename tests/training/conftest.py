"""A small captioning task on disk: the word that is said is the largest entry of the feature."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from recap.core.artifacts import write_json
from recap.core.feature_files import write_features, write_grid
from recap.core.raw_data import Source, write_source
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("red", "green", "blue", "grey")
TEMPLATES = ("a {} thing", "one {} thing here", "{}", "this is a {} thing")


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with captions/ (60 + 20 + 20 images, 4 captions each), features/ (4 wide, grid 2 x 2)."""
    folder = tmp_path_factory.mktemp("task")
    words = sorted({word for template in TEMPLATES for word in template.split()} - {"{}"})
    vocabulary = Vocabulary((*SPECIAL_WORDS, *words, *WORDS))
    generator = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 60), ("validation", 20), ("test", 20)):
        answers = np.arange(count) % len(WORDS)
        features = generator.normal(scale=0.5, size=(count, 8)).astype(np.float32)
        features[np.arange(count), answers] += 3
        write_features(folder / "features" / f"{split}.h5", features)
        captions = [template.format(WORDS[answer]).split() for answer in answers for template in TEMPLATES]
        rows = np.repeat(np.arange(count, dtype=np.int32), len(TEMPLATES))
        originals = [
            {"id": number, "image_id": number // len(TEMPLATES), "caption": " ".join(words)}
            for number, words in enumerate(captions)
        ]
        images = [{"id": row, "file_name": f"{row}.png"} for row in range(count)]
        write_json(
            folder / "captions" / f"references_{split}.json", {"images": images, "annotations": originals}
        )
        arrays[split] = (vocabulary.encode(captions, 8), rows)
    write_grid(folder / "features", (2, 2))
    write_source(folder / "raw", Source("folder", False, True, False, False, "original"))
    save_captions(folder / "captions", Captions(vocabulary, arrays))
    return folder


@pytest.fixture
def params() -> dict:
    """The params groups `train` and `decoders` of the repository, made small."""
    content = (ROOT / "params.yaml").read_text(encoding="utf-8")
    groups = YAML(typ="safe", pure=True).load(content)
    groups["train"] |= {"batch_size": 16, "warmup_steps": 5, "seed": 3}
    values: dict = groups["decoders"]
    for name in ("rnn", "lstm", "transformer", "attention_lstm"):
        values[name] |= {"wordvec_dim": 16, "dropout": 0.2, "learning_rate": 0.01, "epochs": 3}
    for name in ("rnn", "lstm", "attention_lstm"):
        values[name]["hidden_dim"] = 24
    values["transformer"] |= {"heads": 2, "layers": 2, "feedforward_dim": 32, "memory_tokens": 2}
    return {name: groups[name] for name in ("train", "decoders")}


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    pass

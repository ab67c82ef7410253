"""The overfit protocol on scenes and on real COCO, and what the stage `sanity` writes."""

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from recap.core.feature_files import write_features
from recap.core.raw_data import SPLITS
from recap.errors import InputError
from recap.reference.coco_utils import load_coco_data
from recap.sanity import overfit
from recap.sanity.config import SanityConfig
from recap.sanity.overfit import BARS, small_data, true_captions
from recap.sanity.sanity import check_sanity
from recap.sources.config import ScenesConfig
from recap.sources.draw_scenes import write_scenes
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import Vocabulary, build_vocabulary, split_words

COUNT = 50
SEED = 0  # on COCO the last loss of the RNN is 0.04 to 0.12, depending on it
WORDS = ("<NULL>", "<START>", "<END>", "<UNK>", "cat", "dog", "sat")


def captions_of(images: int, captions_an_image: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Captions, the rows of their images, and features whose first entry is the row."""
    generator = np.random.default_rng(0)
    rows = np.repeat(np.arange(images, dtype=np.int32), captions_an_image)
    words = generator.integers(4, 7, size=(len(rows), 3))
    encoded = np.concatenate((np.full((len(rows), 1), 1), words, np.full((len(rows), 1), 2)), axis=1)
    features = generator.standard_normal((images, 6)).astype(np.float32)
    features[:, 0] = np.arange(images)
    return encoded.astype(np.int32), rows, features


def test_small_data_has_one_caption_of_each_image() -> None:
    captions, rows, features = captions_of(images=30, captions_an_image=4)
    data, images = small_data(captions, rows, features, WORDS, count=20, seed=1)

    assert len(data["train_captions"]) == len(set(images)) == 20
    np.testing.assert_array_equal(data["train_features"][data["train_image_idxs"]][:, 0], images)
    for caption, image in zip(data["train_captions"], images, strict=True):
        assert caption.tolist() in captions[rows == image].tolist()
    again, _ = small_data(captions, rows, features, WORDS, count=20, seed=1)
    np.testing.assert_array_equal(data["train_captions"], again["train_captions"])
    assert set(small_data(captions, rows, features, WORDS, count=20, seed=2)[1]) != set(images)
    assert len(small_data(captions, rows, features, WORDS, count=99, seed=1)[1]) == 30


def assert_learns_by_heart(decoder: str, data: dict[str, Any]) -> None:
    losses, captions = overfit.overfit(decoder, data, SEED)
    assert losses[-1] < BARS[decoder]
    assert captions == true_captions(data)
    steps = 2 * (100 if decoder == "transformer" else 50)
    assert len(losses) == steps


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Captions of scenes, and the whitened principal components of their pixels for features."""
    directory = tmp_path_factory.mktemp("scenes")
    write_scenes(ScenesConfig(train_images=120, validation_images=3, test_images=3, seed=1), directory)
    raw_captions = json.loads((directory / "annotations" / "captions_train.json").read_text())
    words = [split_words(annotation["caption"]) for annotation in raw_captions["annotations"]]
    row = {image["id"]: number for number, image in enumerate(raw_captions["images"])}
    image_rows = np.array([row[annotation["image_id"]] for annotation in raw_captions["annotations"]])
    vocabulary = build_vocabulary(words, min_count=1, max_words=None)
    paths = [directory / "images" / "train" / image["file_name"] for image in raw_captions["images"]]
    pixels = np.stack([np.asarray(Image.open(path)).reshape(-1) for path in paths]) / np.float32(255)
    # whitened: of raw pixels the background would drown the digits, which features of a network tell apart
    features = PCA(100, svd_solver="full", whiten=True).fit_transform(pixels).astype(np.float32)
    encoded = vocabulary.encode(words, max_length=17)
    return small_data(encoded, image_rows, features, vocabulary.idx_to_word, COUNT, SEED)[0]


@pytest.mark.slow
@pytest.mark.parametrize("count", [COUNT, 24, 11])  # fewer are one step an epoch
@pytest.mark.parametrize("decoder", BARS)
def test_captions_of_scenes_come_back_word_for_word(decoder: str, count: int, scenes: dict[str, Any]) -> None:
    assert len(scenes["train_captions"]) == COUNT
    fewer = {key: scenes[key][:count] for key in ("train_captions", "train_image_idxs", "train_features")}
    assert_learns_by_heart(decoder, scenes | fewer)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("decoder", BARS)
def test_fifty_captions_of_coco_come_back_word_for_word(decoder: str, shared: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared / "real" / "coco_captioning_mini.zip") as archive:
        archive.extractall(tmp_path)
    data = load_coco_data(tmp_path / "coco_captioning")
    captions, rows, features = (data[f"train_{key}"] for key in ("captions", "image_idxs", "features"))
    assert_learns_by_heart(decoder, small_data(captions, rows, features, data["idx_to_word"], COUNT, SEED)[0])


def write_inputs(directory: Path) -> tuple[Path, Path]:
    captions, rows, features = captions_of(images=8, captions_an_image=2)
    save_captions(
        directory / "captions",
        Captions(Vocabulary(WORDS), dict.fromkeys(SPLITS, (captions, rows))),
    )
    write_features(directory / "train.h5", features)
    return directory / "captions", directory / "train.h5"


def test_the_stage_writes_gradients_curves_captions_and_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HIDDEN_DIM", 8), ("WORDVEC_DIM", 8), ("RECURRENT_EPOCHS", 2), ("EPOCHS", 3)):
        monkeypatch.setattr(overfit, name, value)
    inputs, config = write_inputs(tmp_path), SanityConfig(captions=6, seed=3)
    outputs = []
    for attempt in ("first", "second"):
        metrics = check_sanity(*inputs, tmp_path / attempt, config)
        outputs.append({path.name: path.read_bytes() for path in (tmp_path / attempt).iterdir()})

    assert outputs[0] == outputs[1]
    assert sorted(outputs[0]) == ["captions.csv", "curves.csv", "gradients.json"]
    assert metrics["gradients"]["passed"] == metrics["gradients"]["checked"] == 42
    assert metrics["gradients"]["worst"] < 1
    assert set(metrics["rnn"]) == {"final_loss", "bar", "passed", "word_for_word"}
    assert metrics["rnn"]["passed"] == 0  # four steps are not enough
    assert all(row["passed"] for row in json.loads(outputs[0]["gradients.json"]))
    with open(tmp_path / "first" / "curves.csv") as file:
        curves = list(csv.DictReader(file))
    assert [row["decoder"] for row in curves] == ["rnn"] * 4 + ["lstm"] * 4 + ["transformer"] * 6
    assert float(curves[3]["loss"]) == metrics["rnn"]["final_loss"]
    with open(tmp_path / "first" / "captions.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    assert set(rows[0]) == {"decoder", "image", "caption", "generated"}
    assert all(row["caption"].endswith("<END>") for row in rows)


def test_absent_inputs_are_told_in_one_line(tmp_path: Path) -> None:
    captions, features = write_inputs(tmp_path)
    features.unlink()
    with pytest.raises(InputError, match=r"^[^\n]*train.h5: expected[^\n]*$"):
        check_sanity(captions, features, tmp_path / "out", SanityConfig(captions=6, seed=3))

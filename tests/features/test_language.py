"""Features for captions without pictures: a regression along few directions among words, and distances."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from tests.settings import settings

from recap.core.feature_files import open_features, write_features, write_grid
from recap.core.raw_data import LANGUAGE, SPLITS
from recap.errors import InputError
from recap.features.config import ReduceConfig
from recap.features.language import DIRECTIONS_PENALTY, PENALTY, write_language_features
from recap.features.reduce import reduce
from recap.text.captions import Captions, save_captions, save_language
from recap.text.vocabulary import END, START, UNK, build_vocabulary

IMAGES, WIDTH = 40, 5
VOCABULARY = build_vocabulary([["red", "blue", "cat", "dog", "sits", "runs"]], 1, None)


def encoded_captions(generator: np.random.Generator, images: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    words = generator.integers(UNK, len(VOCABULARY), size=(images * each, 3))
    edges = np.ones((images * each, 1))
    encoded = np.concatenate([START * edges, words, END * edges], axis=1).astype(np.int32)
    return encoded, np.repeat(np.arange(images, dtype=np.int32), each)


@pytest.fixture
def known(tmp_path: Path) -> Captions:
    """Captions of 40 training images, whose features follow from their words, and of 3 images without."""
    generator = np.random.default_rng(0)
    training = encoded_captions(generator, IMAGES, 4)
    language = encoded_captions(generator, 3, 2)
    # the last image has one caption
    language = language[0][:-1], language[1][:-1]
    splits = {**dict.fromkeys(SPLITS, training), LANGUAGE: language}
    means = generator.normal(size=(len(VOCABULARY), WIDTH))
    features = np.stack([means[training[0][training[1] == row]].mean(axis=(0, 1)) for row in range(IMAGES)])
    features += 0.1 * generator.normal(size=features.shape)
    for split in SPLITS:
        write_features(tmp_path / "features" / f"{split}.h5", features.astype(np.float32))
    return Captions(VOCABULARY, splits)


def shares(captions: list[np.ndarray], idf: np.ndarray) -> np.ndarray:
    found = np.zeros(len(VOCABULARY))
    for caption in captions:
        for word in set(caption.tolist()) - {0, 1, 2, UNK}:
            found[word] += 1 / len(captions)
    return found * idf


def test_a_feature_is_what_the_other_captions_tell_and_a_distance(tmp_path: Path, known: Captions) -> None:
    path = tmp_path / "language.h5"
    write_language_features(path, tmp_path / "features" / "train.h5", known, known.of(LANGUAGE))
    written = np.asarray(open_features(path))
    encoded, rows = known.of(LANGUAGE)
    frequency = np.zeros(len(VOCABULARY))
    for image in range(3):
        frequency[list(set(encoded[rows == image].ravel().tolist()) - {0, 1, 2, UNK})] += 1
    idf = np.where(frequency, np.log(3 / np.maximum(frequency, 1)), 0)

    features = np.asarray(open_features(tmp_path / "features" / "train.h5"), dtype=np.float64)
    own, own_rows = known.of("train")
    own_shares = np.stack([shares(list(own[own_rows == row]), idf) for row in range(IMAGES)])
    centred, moved = own_shares - own_shares.mean(axis=0), features - features.mean(axis=0)
    told = Ridge(DIRECTIONS_PENALTY * np.trace(moved.T @ moved) / IMAGES).fit(moved, centred).predict(moved)
    _, spread, directions = np.linalg.svd(told, full_matrices=False)
    directions = directions[spread > 1e-6 * spread[0]].T  # words that all images have predict nothing
    along = centred @ directions
    model = Ridge(PENALTY * IMAGES).fit(along / along.std(axis=0), features)
    distances = features - model.predict(along / along.std(axis=0))
    for place, image in enumerate(rows):
        others = [encoded[other] for other in np.flatnonzero(rows == image) if other != place]
        of_others = shares(others or [encoded[place]], idf) - own_shares.mean(axis=0)
        expected = model.predict((of_others @ directions / along.std(axis=0))[None])[0]
        differences = np.abs(written[place] - expected - distances).max(axis=1)
        assert differences.min() < 1e-5, "a feature is no training image's distance from what is expected"


def test_the_stage_writes_them_the_same_twice(tmp_path: Path, known: Captions) -> None:
    save_captions(tmp_path / "captions", Captions(VOCABULARY, {split: known.of(split) for split in SPLITS}))
    config = settings(ReduceConfig, components=3)
    reduce(tmp_path / "features", tmp_path / "captions", tmp_path / "without", config, 1)
    save_language(tmp_path / "captions", known.of(LANGUAGE))
    found = []
    for name in ("first", "second"):
        reduce(tmp_path / "features", tmp_path / "captions", tmp_path / name, config, 1)
        found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert found[0] == found[1]
    assert open_features(tmp_path / "first" / "language.h5").shape == (5, 3)
    without = {path.name: path.read_bytes() for path in (tmp_path / "without").iterdir()}
    assert {name: content for name, content in found[0].items() if name != "language.h5"} == without
    passed_through = settings(ReduceConfig, enabled=False)
    reduce(tmp_path / "features", tmp_path / "captions", tmp_path / "whole", passed_through, 1)
    assert open_features(tmp_path / "whole" / "language.h5").shape == (5, WIDTH)


def test_a_grid_is_refused(tmp_path: Path, known: Captions) -> None:
    save_captions(tmp_path / "captions", Captions(VOCABULARY, {split: known.of(split) for split in SPLITS}))
    save_language(tmp_path / "captions", known.of(LANGUAGE))
    write_grid(tmp_path / "features", (1, 2))
    with pytest.raises(
        InputError, match=r"^data\.language_captions: expected null where features\.grid is true"
    ):
        reduce(tmp_path / "features", tmp_path / "captions", tmp_path / "out", settings(ReduceConfig), 1)

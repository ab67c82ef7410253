"""Concepts: kernel ridge regressions of captions' words, each training image's from others than itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge

from recap.core.feature_files import open_features, write_features
from recap.core.raw_data import SPLITS
from recap.errors import InputError
from recap.features.concepts import FOLDS, fit_concepts, fold_rows, word_shares
from recap.features.config import ReduceConfig
from recap.features.projection import load_projection
from recap.features.reduce import reduce
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import END, START, build_vocabulary

IMAGES, WIDTH, WORDS = 203, 12, 9  # the first four words are special
PENALTY = 2.5


@pytest.fixture
def features(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(IMAGES, WIDTH)) * 3 + 5
    write_features(tmp_path / "features" / "train.h5", values.astype(np.float32))
    for split in ("validation", "test"):
        write_features(tmp_path / "features" / f"{split}.h5", values[:20].astype(np.float32))
    return tmp_path / "features"


def shares_of(features: Path) -> NDArray[np.float64]:
    """Shares that the features predict, somewhat."""
    values = np.asarray(open_features(features / "train.h5"), dtype=np.float64)
    generator = np.random.default_rng(1)
    told = values @ generator.normal(size=(WIDTH, WORDS)) + 5 * generator.normal(size=(IMAGES, WORDS))
    told[:, :4] = 0
    return told


def test_shares_weigh_rare_words_more() -> None:
    captions = np.array([[1, 4, 4, 2], [1, 5, 3, 2], [1, 4, 2, 0]], dtype=np.int32)
    shares = word_shares(captions, np.array([0, 0, 1], dtype=np.int32), images=3, words=7)
    expected = np.zeros((3, 7))
    expected[0, 4], expected[1, 4] = 0.5 * np.log(3 / 2), np.log(3 / 2)
    expected[0, 5] = 0.5 * np.log(3)
    np.testing.assert_allclose(shares, expected)


def kernel_of(features: Path) -> NDArray[np.float64]:
    """Restate the kernel of all images with each other."""
    values = np.asarray(open_features(features / "train.h5"), dtype=np.float64)
    distances = ((values[:, None] - values[None]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-distances / (0.5 * distances.mean())))


def test_concepts_are_those_of_kernel_ridge_regression(features: Path) -> None:
    shares = shares_of(features)
    concepts = fit_concepts(features / "train.h5", shares, 5, PENALTY)
    everyone = np.ones(IMAGES, dtype=bool)

    def predicted(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What the others predict of all images, scikit-learn's, (IMAGES, V) about its mean of ``rows``."""
        of_rows = kernel_of(features)[:, rows]
        centring = np.eye(rows.sum()) - 1 / rows.sum()
        inner = centring @ of_rows[rows] @ centring
        model = KernelRidge(alpha=PENALTY * np.trace(inner) / rows.sum(), kernel="precomputed")
        model.fit(inner, shares[rows] - shares[rows].mean(axis=0))
        return np.asarray(model.predict((of_rows - of_rows[rows].mean(axis=0)) @ centring))

    values = concepts.similarities(open_features(features / "train.h5"))
    whole = concepts.whole(values)  # (IMAGES, C)
    expected = predicted(everyone)
    mixing = np.linalg.lstsq(expected, whole, rcond=None)[0]  # (V, C)
    np.testing.assert_allclose(expected @ mixing, whole, rtol=1e-6, atol=1e-8)
    for fold, regression in zip(fold_rows(IMAGES), concepts.of_fold, strict=True):
        others = everyone.copy()
        others[fold] = False
        own, restated = regression(values), predicted(others) @ mixing
        difference = own - restated  # about another mean
        np.testing.assert_allclose(difference - difference[0], 0, atol=2e-2)


def test_no_image_has_a_part_in_its_own_concepts(features: Path) -> None:
    """Captions drawn at random: only a regression that saw them can predict them."""
    noise = np.zeros((IMAGES, WORDS))
    noise[:, 4:] = np.random.default_rng(2).normal(size=(IMAGES, WORDS - 4))
    concepts = fit_concepts(features / "train.h5", noise, 5, PENALTY)
    similarities = concepts.similarities(open_features(features / "train.h5"))
    crossed = np.concatenate(
        [
            regression(similarities[fold])
            for fold, regression in zip(fold_rows(IMAGES), concepts.of_fold, strict=True)
        ]
    )
    np.testing.assert_allclose((crossed**2).mean(axis=0), 1, rtol=1e-6)

    def agreement(told: NDArray[np.float64]) -> float:
        """How much of the shares a linear map of the concepts explains."""
        told = told - told.mean(axis=0)
        found = told @ np.linalg.lstsq(told, noise, rcond=None)[0]
        return float((found * noise).sum() / (noise**2).sum())

    chance = 5 / IMAGES
    assert agreement(concepts.whole(similarities)) > 2 * chance
    assert agreement(crossed) < 2 * chance


def test_a_kernel_predicts_what_no_line_does(features: Path) -> None:
    values = np.random.default_rng(4).normal(size=(IMAGES, 2))
    write_features(features / "train.h5", values.astype(np.float32))
    shares = np.zeros((IMAGES, WORDS))
    shares[:, 5] = values[:, 0] * values[:, 1]
    concepts = fit_concepts(features / "train.h5", shares, 1, 0.02)
    new = np.random.default_rng(5).normal(size=(100, 2))
    found = concepts.whole(concepts.similarities(new))[:, 0]
    assert np.corrcoef(found, new[:, 0] * new[:, 1])[0, 1] > 0.9


def test_many_images_are_compared_with_some(features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = shares_of(features)
    exact = fit_concepts(features / "train.h5", shares, 3, PENALTY)
    monkeypatch.setattr("recap.features.concepts.LANDMARKS", 150)
    some = fit_concepts(features / "train.h5", shares, 3, PENALTY)
    assert some.landmarks.shape == (150, WIDTH)
    new = np.asarray(open_features(features / "test.h5"))
    first = [own.whole(own.similarities(new))[:, 0] for own in (exact, some)]
    assert np.corrcoef(*first)[0, 1] > 0.95


def test_the_stage_appends_concepts(tmp_path: Path, features: Path) -> None:
    vocabulary = build_vocabulary([["red", "one"], ["blue", "two"]] * 5, 1, None)
    generator = np.random.default_rng(3)
    words = generator.integers(4, len(vocabulary), size=(2 * IMAGES, 2))
    edges = np.ones((2 * IMAGES, 1))
    encoded = np.concatenate([START * edges, words, END * edges], axis=1).astype(np.int32)
    rows = np.repeat(np.arange(IMAGES, dtype=np.int32), 2)
    own = rows < 20
    splits = dict.fromkeys(SPLITS, (encoded[own], rows[own])) | {"train": (encoded, rows)}
    save_captions(tmp_path / "captions", Captions(vocabulary, splits))
    outputs = []
    for name, penalty in (("a", PENALTY), ("b", PENALTY), ("c", 2 * PENALTY)):
        config = ReduceConfig(
            enabled=True, components=6, whiten=True, concepts=3, concepts_penalty=penalty, grid_components=64
        )
        summary = reduce(features, tmp_path / "captions", tmp_path / name, config, threads=1)
        assert summary["components"] == 9
        outputs.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert outputs[0] == outputs[1]
    assert all(outputs[0][file] != outputs[2][file] for file in ("train.h5", "test.h5", "pca.safetensors"))
    projection = load_projection(tmp_path / "a" / "pca.safetensors")
    for split in SPLITS:
        reduced = open_features(tmp_path / "a" / f"{split}.h5")
        expected = projection(torch.from_numpy(np.array(open_features(features / f"{split}.h5")))).numpy()
        assert expected.shape == reduced.shape
        np.testing.assert_allclose(reduced[:, :6], expected[:, :6], rtol=1e-3, atol=1e-4)
        as_new = np.allclose(reduced[:, 6:], expected[:, 6:], rtol=1e-3, atol=1e-4)
        assert as_new == (split != "train"), "training images alone have concepts of their own"
    assert len(fold_rows(IMAGES)) == FOLDS


@pytest.mark.parametrize("images", [IMAGES, 8])
def test_more_concepts_than_there_can_be(tmp_path: Path, features: Path, images: int) -> None:
    path = tmp_path / "some.h5"
    write_features(path, np.asarray(open_features(features / "train.h5"))[:images])
    most = 5 if images == IMAGES else 0
    with pytest.raises(
        InputError, match=rf"reduce.concepts: expected at most {most}, as some.h5 has {images}"
    ):
        fit_concepts(path, shares_of(features)[:images], 6, PENALTY)


def test_words_that_always_go_together_make_one_concept(features: Path) -> None:
    shares = shares_of(features)
    shares[:, 5:] = shares[:, 4:5] * [1, 2, 3, 0.5]
    concepts = fit_concepts(features / "train.h5", shares, 4, PENALTY)
    values = concepts.whole(concepts.similarities(open_features(features / "test.h5")))
    assert np.abs(values[:, 0]).max() < 10
    assert (values[:, 1:] == 0).all()


def test_features_too_large_for_float32_are_refused(features: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.h5"
    write_features(path, np.asarray(open_features(features / "train.h5")) * np.float32(1e25))
    with pytest.raises(InputError, match=r"large\.h5: expected finite features of moderate size"):
        fit_concepts(path, shares_of(features), 2, PENALTY)

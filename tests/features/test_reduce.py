import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.decomposition import PCA

from recap.core.feature_files import open_features, read_grid, write_features, write_grid
from recap.core.raw_data import SPLITS
from recap.errors import InputError
from recap.features.config import ReduceConfig
from recap.features.projection import load_projection
from recap.features.reduce import reduce

PLAIN = ReduceConfig(
    enabled=True, components=4, whiten=False, concepts=0, concepts_penalty=0.2, grid_components=64
)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(12, 12)) * 0.5 ** np.arange(12)[:, None]
    for split, rows in (("train", 200), ("validation", 30), ("test", 30)):
        values = generator.normal(size=(rows, 12)) @ mixing + 3
        write_features(tmp_path / "features" / f"{split}.h5", values.astype(np.float32))
    return tmp_path / "features"


def test_only_training_features_shape_the_space(tmp_path: Path, features: Path) -> None:
    summary = reduce(
        features,
        tmp_path / "captions",
        tmp_path / "a",
        PLAIN,
        threads=1,
    )
    for split in ("validation", "test"):
        write_features(features / f"{split}.h5", np.zeros((30, 12), np.float32))
    again = reduce(
        features,
        tmp_path / "captions",
        tmp_path / "b",
        PLAIN,
        threads=1,
    )
    assert summary == again
    for name in ("train.h5", "pca.safetensors", "spectrum.csv"):  # familiarity looks at validation images
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    pca = load_file(tmp_path / "a" / "pca.safetensors")
    assert pca["components"].shape == (4, 12)
    assert pca["mean"].dtype == np.float64
    expected = -pca["mean"] @ pca["components"].T
    np.testing.assert_allclose(open_features(tmp_path / "b" / "test.h5")[0], expected, rtol=1e-4, atol=1e-5)


def test_the_spectrum_sums_up(tmp_path: Path, features: Path) -> None:
    summary = reduce(
        features,
        tmp_path / "captions",
        tmp_path / "reduced",
        replace(PLAIN, components=12),
        threads=1,
    )
    assert summary["explained_variance_ratio"] == pytest.approx(1)
    rows = list(csv.DictReader((tmp_path / "reduced" / "spectrum.csv").read_text().splitlines()))
    assert [int(row["component"]) for row in rows] == list(range(1, 13))
    ratios = [float(row["explained_variance_ratio"]) for row in rows]
    assert ratios == sorted(ratios, reverse=True)
    np.testing.assert_allclose([float(row["cumulative"]) for row in rows], np.cumsum(ratios))


def test_whitened_training_features_have_variance_1(tmp_path: Path, features: Path) -> None:
    plain, white = (replace(PLAIN, components=6, whiten=whiten) for whiten in (False, True))
    summaries = [
        reduce(features, tmp_path / "captions", tmp_path / str(config.whiten), config, threads=1)
        for config in (plain, white)
    ]
    assert summaries[0] == summaries[1]
    for split in SPLITS:
        values = {whiten: open_features(tmp_path / str(whiten) / f"{split}.h5") for whiten in (False, True)}
        deviation = open_features(tmp_path / "False" / "train.h5").std(axis=0, ddof=1)
        np.testing.assert_allclose(values[True], values[False] / deviation, rtol=1e-3, atol=1e-4)
    tensors = load_file(tmp_path / "True" / "pca.safetensors")
    expected = (open_features(features / "test.h5") - tensors["mean"]) @ tensors["components"].T
    np.testing.assert_allclose(open_features(tmp_path / "True" / "test.h5"), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_features_that_are_not_finite_are_refused(
    tmp_path: Path, features: Path, split: str, enabled: bool, value: float
) -> None:
    values = np.array(open_features(features / f"{split}.h5"))
    values[17, 3] = value
    write_features(features / f"{split}.h5", values)
    with pytest.raises(InputError, match=rf"{split}\.h5: expected finite features"):
        reduce(
            features, tmp_path / "captions", tmp_path / "reduced", replace(PLAIN, enabled=enabled), threads=1
        )
    assert not (tmp_path / "reduced" / f"{split}.h5").exists()


def test_features_pass_through(tmp_path: Path, features: Path) -> None:
    (tmp_path / "reduced").mkdir()
    (tmp_path / "reduced" / "pca.safetensors").write_bytes(b"of an earlier run")
    summary = reduce(
        features,
        tmp_path / "captions",
        tmp_path / "reduced",
        replace(PLAIN, enabled=False, components=500),
        threads=1,
    )
    assert summary == {"components": 12}
    names = sorted(path.name for path in (tmp_path / "reduced").iterdir())
    assert names == ["familiarity.safetensors", "test.h5", "train.h5", "validation.h5"]
    for split in SPLITS:
        original = (features / f"{split}.h5").read_bytes()
        assert (tmp_path / "reduced" / f"{split}.h5").read_bytes() == original


def test_splits_of_different_width(tmp_path: Path, features: Path) -> None:
    write_features(features / "test.h5", np.ones((3, 11), np.float32))
    with pytest.raises(
        InputError, match=r"test\.h5: expected the width of the training features, 12, received 11"
    ):
        reduce(
            features,
            tmp_path / "captions",
            tmp_path / "reduced",
            replace(PLAIN, components=2),
            threads=1,
        )


def test_the_channels_of_a_grid_get_a_pca_of_their_own(tmp_path: Path, features: Path) -> None:
    plain = reduce(features, tmp_path / "captions", tmp_path / "plain", PLAIN, threads=1)
    generator = np.random.default_rng(1)
    maps = {}
    for split in SPLITS:
        own = np.array(open_features(features / f"{split}.h5"))
        maps[split] = generator.normal(size=(len(own), 6, 5)).astype(np.float32)
        write_features(
            features / f"{split}.h5", np.concatenate([own, maps[split].reshape(len(own), -1)], axis=1)
        )
    write_grid(features, (6, 5))
    config = replace(PLAIN, grid_components=3)
    assert reduce(features, tmp_path / "captions", tmp_path / "grid", config, threads=1) == plain
    assert read_grid(tmp_path / "grid") == (6, 3)
    expected = PCA(3).fit(maps["train"].reshape(-1, 5).astype(np.float64))
    projection = load_projection(tmp_path / "grid" / "pca.safetensors")
    assert (projection.row_dim, projection.reduced_dim) == (12 + 30, 4 + 18)
    for split in SPLITS:
        rows = open_features(tmp_path / "grid" / f"{split}.h5")
        np.testing.assert_allclose(rows[:, :4], open_features(tmp_path / "plain" / f"{split}.h5"), atol=1e-5)
        there = np.abs(rows[:, 4:].reshape(-1, 3))
        np.testing.assert_allclose(there, np.abs(expected.transform(maps[split].reshape(-1, 5))), atol=1e-4)
        given = torch.from_numpy(np.array(open_features(features / f"{split}.h5")))
        np.testing.assert_allclose(projection(given).numpy(), rows, atol=1e-4)
    with pytest.raises(InputError, match=r"reduce\.grid_components: expected at most 5"):
        reduce(
            features, tmp_path / "captions", tmp_path / "more", replace(config, grid_components=6), threads=1
        )
    with pytest.raises(InputError, match=r"reduce\.concepts: expected 0 where features\.grid is true"):
        reduce(features, tmp_path / "captions", tmp_path / "more", replace(config, concepts=1), threads=1)


def test_a_grid_passes_through_where_nothing_is_reduced(tmp_path: Path, features: Path) -> None:
    write_grid(features, (2, 3))
    config = replace(PLAIN, enabled=False)
    reduce(features, tmp_path / "captions", tmp_path / "reduced", config, threads=1)
    assert read_grid(tmp_path / "reduced") == (2, 3)

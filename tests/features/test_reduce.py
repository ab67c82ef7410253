import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from recap.core.feature_files import open_features, write_features
from recap.errors import InputError
from recap.features.config import ReduceConfig
from recap.features.reduce import reduce

PLAIN = ReduceConfig(enabled=True, components=4, whiten=False, concepts=0, concepts_penalty=4.0)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(12, 12)) * 0.5 ** np.arange(12)[:, None]
    for split, rows in (("train", 200), ("val", 30)):
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
    write_features(features / "val.h5", np.zeros((30, 12), np.float32))
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
    np.testing.assert_allclose(open_features(tmp_path / "b" / "val.h5")[0], expected, rtol=1e-4, atol=1e-5)


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
    for split in ("train", "val"):
        values = {whiten: open_features(tmp_path / str(whiten) / f"{split}.h5") for whiten in (False, True)}
        deviation = open_features(tmp_path / "False" / "train.h5").std(axis=0, ddof=1)
        np.testing.assert_allclose(values[True], values[False] / deviation, rtol=1e-3, atol=1e-4)
    tensors = load_file(tmp_path / "True" / "pca.safetensors")
    expected = (open_features(features / "val.h5") - tensors["mean"]) @ tensors["components"].T
    np.testing.assert_allclose(open_features(tmp_path / "True" / "val.h5"), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("split", ["train", "val"])
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
    assert names == ["familiarity.safetensors", "train.h5", "val.h5"]
    for split in ("train", "val"):
        original = (features / f"{split}.h5").read_bytes()
        assert (tmp_path / "reduced" / f"{split}.h5").read_bytes() == original


def test_splits_of_different_width(tmp_path: Path, features: Path) -> None:
    write_features(features / "val.h5", np.ones((3, 11), np.float32))
    with pytest.raises(
        InputError, match=r"val\.h5: expected the width of the training features, 12, received 11"
    ):
        reduce(
            features,
            tmp_path / "captions",
            tmp_path / "reduced",
            replace(PLAIN, components=2),
            threads=1,
        )

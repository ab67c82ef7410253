from pathlib import Path

import h5py
import numpy as np
import pytest

from recap.core.feature_files import open_features, read_blocks, write_feature_blocks, write_features
from recap.errors import InputError

FEATURES = np.random.default_rng(0).normal(size=(37, 6)).astype(np.float32)


def test_features_are_mapped_and_the_same_bytes_however_written(tmp_path: Path) -> None:
    write_features(tmp_path / "whole.h5", FEATURES)
    write_feature_blocks(tmp_path / "blocks.h5", FEATURES.shape, iter([FEATURES[:30], FEATURES[30:]]))
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "blocks.h5").read_bytes()
    mapped = open_features(tmp_path / "whole.h5")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, FEATURES)
    with h5py.File(tmp_path / "whole.h5") as hdf5:
        np.testing.assert_array_equal(hdf5["features"][()], FEATURES)


def test_blocks_are_the_rows_in_order(tmp_path: Path) -> None:
    write_features(tmp_path / "features.h5", FEATURES)
    blocks = list(read_blocks(tmp_path / "features.h5", 10))
    assert [len(block) for block in blocks] == [10, 10, 10, 7]
    np.testing.assert_array_equal(np.concatenate(blocks), FEATURES)


@pytest.mark.parametrize("blocks", [[FEATURES[:5]], [FEATURES.astype(np.float64)], [FEATURES[:, :3]]])
def test_wrong_blocks_publish_nothing(tmp_path: Path, blocks) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_feature_blocks(tmp_path / "features.h5", FEATURES.shape, blocks)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    with pytest.raises(InputError, match="expected a feature file"):
        open_features(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match="expected a feature file"):
        open_features(path)
    for name, values, options in (
        ("other", FEATURES, {}),
        ("features", FEATURES.astype(np.float64), {}),
        ("features", FEATURES[0], {}),
        ("features", FEATURES, {"chunks": (5, 6)}),
    ):
        with h5py.File(path, "w") as hdf5:
            hdf5.create_dataset(name, data=values, **options)
        with pytest.raises(InputError, match="expected"):
            open_features(path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    write_features(path, FEATURES)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="expected"):
        open_features(path)

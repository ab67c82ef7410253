"""Images unlike the training images are told from those that are like them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recap.core.feature_files import write_features
from recap.errors import InputError
from recap.features.familiarity import FILE, Familiarity, load_familiarity, write_familiarity

WIDTH = 80


def draw(rows: int, seed: int) -> NDArray[np.float32]:
    spread = 0.95 ** np.arange(WIDTH)
    return (np.random.default_rng(seed).normal(size=(rows, WIDTH)) * spread + 3).astype(np.float32)


def measure(folder: Path, train: NDArray[np.float32], validation: NDArray[np.float32]) -> Familiarity:
    write_features(folder / "train.h5", train)
    write_features(folder / "validation.h5", validation)
    write_familiarity(folder)
    found = load_familiarity(folder / FILE)
    assert found is not None
    return found


def test_mean_and_scale_are_those_of_the_training_images(tmp_path: Path) -> None:
    train, validation = draw(5000, 0), draw(300, 1)
    found = measure(tmp_path, train, validation)
    np.testing.assert_allclose(found.mean, train.mean(axis=0, dtype=float), rtol=1e-9)
    np.testing.assert_allclose(found.scale, train.std(axis=0, dtype=float), rtol=1e-9)
    z = (validation - train.mean(axis=0, dtype=float)) / train.std(axis=0, dtype=float)
    expected = [np.sqrt((z[:, :width] ** 2).mean(axis=1)) for width in (4, 64, WIDTH)]
    np.testing.assert_allclose(found.farthest, [distances.max() for distances in expected], rtol=1e-9)
    np.testing.assert_allclose(found.nearest, [distances.min() for distances in expected], rtol=1e-9)


def test_what_is_like_validation_images_is_familiar_and_what_is_not_is_not(tmp_path: Path) -> None:
    found = measure(tmp_path, draw(1000, 0), draw(300, 1))
    assert found.is_familiar(draw(300, 1)).all()
    assert found.is_familiar(draw(1000, 2)).mean() > 0.95
    far = draw(100, 3)
    far[:, 2] += 20  # one leading component is enough
    assert not found.is_familiar(far).any()
    assert not found.is_familiar(3 + (draw(100, 4) - 3) * 3).any()
    assert not found.is_familiar(np.full((1, WIDTH), 3, np.float32)).any(), "no image lies at the mean of all"


@pytest.mark.parametrize(("images", "written"), [(19, False), (20, True)])
def test_few_validation_images_say_nothing_of_what_is_far(tmp_path: Path, images: int, written: bool) -> None:
    write_features(tmp_path / "train.h5", draw(100, 0))
    write_features(tmp_path / "validation.h5", draw(images, 1))
    write_familiarity(tmp_path)
    assert (load_familiarity(tmp_path / FILE) is not None) == written


def test_columns_that_training_images_never_move_tell_most(tmp_path: Path) -> None:
    train, validation = draw(500, 0), draw(100, 1)
    train[:, 50] = validation[:, 50] = 0
    found = measure(tmp_path, train, validation)
    other = draw(20, 2)
    other[:, 50] = 1
    assert not found.is_familiar(other).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(20, 24), st.integers(1, 70), st.booleans())
def test_any_shape_gives_finite_numbers(
    tmp_path_factory, rows: int, others: int, width: int, equal: bool
) -> None:
    folder = tmp_path_factory.mktemp("familiarity")
    generator = np.random.default_rng(rows)
    train = np.ones((rows, width)) if equal else generator.normal(size=(rows, width))
    validation = generator.normal(size=(others, width))
    found = measure(folder, train.astype(np.float32), validation.astype(np.float32))
    assert (found.scale > 0).all()
    assert found.is_familiar(validation.astype(np.float32)).all()
    first = (folder / FILE).read_bytes()
    write_familiarity(folder)
    assert (folder / FILE).read_bytes() == first


def test_absent_and_broken_files(tmp_path: Path) -> None:
    assert load_familiarity(tmp_path / FILE) is None
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(InputError, match="expected what training images are like"):
        load_familiarity(tmp_path / FILE)

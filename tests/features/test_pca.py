from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

import recap.features.pca as module
from recap.core.feature_files import write_features
from recap.errors import InputError
from recap.features.pca import fit_pca, project, whiten


def low_rank(rows: int, width: int, seed: int = 0, offset: float = 0.7) -> NDArray[np.float32]:
    """Features with a decaying spectrum, a mean far from zero, and noise."""
    generator = np.random.default_rng(seed)
    rank = min(rows, width, 40)
    scores = generator.normal(size=(rows, rank)) * 0.9 ** np.arange(rank) * 3
    features = scores @ generator.normal(size=(rank, width)) + offset
    return (features + 0.1 * generator.normal(size=(rows, width))).astype(np.float32)


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(module, "BLOCK_ROWS", 100)


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("offset", [0.0, 0.7, 50.0])
def test_streaming_equals_the_exact_solver(tmp_path: Path, offset: float) -> None:
    features = low_rank(1530, 96, offset=offset)
    write_features(tmp_path / "train.h5", features)
    ours = fit_pca(tmp_path / "train.h5", 16)
    exact = PCA(16, svd_solver="full").fit(features.astype(np.float64))
    assert np.rad2deg(subspace_angles(ours.components_.T, exact.components_.T)).max() < 1e-3
    np.testing.assert_allclose(ours.explained_variance_, exact.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(ours.explained_variance_ratio_, exact.explained_variance_ratio_, atol=1e-7)
    np.testing.assert_allclose(ours.mean_, exact.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.noise_variance_, exact.noise_variance_, rtol=1e-5)
    np.testing.assert_allclose(ours.singular_values_, exact.singular_values_, rtol=1e-6)
    # signs as well, not only the subspace
    np.testing.assert_allclose(ours.components_, exact.components_, atol=1e-4)
    projected = np.concatenate(list(project(tmp_path / "train.h5", ours)))
    assert projected.dtype == np.float32
    np.testing.assert_allclose(projected, ours.transform(features.astype(np.float64)), atol=2e-4)
    np.testing.assert_allclose(ours.inverse_transform(ours.transform(features[:5])).shape, (5, 96))


@pytest.mark.usefixtures("streamed")
def test_streaming_gives_the_same_bits(tmp_path: Path) -> None:
    write_features(tmp_path / "train.h5", low_rank(730, 64))
    first, second = (fit_pca(tmp_path / "train.h5", 9) for _ in range(2))
    for name in ("components_", "mean_", "explained_variance_"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(1, 30), st.integers(0, 5), st.data())
def test_components_are_orthonormal_for_any_shape(tmp_path_factory, rows, width, seed, data) -> None:
    path = tmp_path_factory.mktemp("pca") / "train.h5"
    write_features(path, low_rank(rows, width, seed))
    components = data.draw(st.integers(1, min(rows, width)))
    memory = data.draw(st.sampled_from([0, 1 << 30]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "IN_MEMORY_BYTES", memory)
        patch.setattr(module, "BLOCK_ROWS", 7)
        pca = fit_pca(path, components)
    np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(components), atol=1e-6)
    largest = np.abs(pca.components_).argmax(axis=1)
    assert (pca.components_[np.arange(components), largest] > 0).all()
    assert (np.diff(pca.explained_variance_) <= 1e-6).all()
    assert pca.explained_variance_ratio_.sum() <= 1 + 1e-6


@pytest.mark.parametrize("memory", [0, 1 << 30])
@pytest.mark.parametrize("shape", [(300, 4), (5, 40)])
def test_features_that_are_all_equal_are_refused(
    tmp_path: Path, memory: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", memory)
    write_features(tmp_path / "train.h5", np.full(shape, 0.1, np.float32))
    with pytest.raises(InputError, match=rf"train\.h5: expected features that differ .* {shape[0]} equal"):
        fit_pca(tmp_path / "train.h5", 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(1, 12), st.integers(1, 4), st.sampled_from([0, 1 << 30]), st.data())
def test_whitening_leaves_directions_without_variance_at_zero(
    tmp_path_factory, distinct: int, width: int, copies: int, memory: int, data
) -> None:
    """Duplicated images, dead columns, columns that repeat others, as many components as there can be."""
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    features = np.repeat(generator.normal(size=(distinct, width)), copies, axis=0)
    features = np.concatenate([features, 2 * features, np.full_like(features, 7.3)], axis=1)
    path = tmp_path_factory.mktemp("pca") / "train.h5"
    write_features(path, features.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "IN_MEMORY_BYTES", memory)
        pca = fit_pca(path, min(features.shape))
        whiten(pca)
        deviation = np.concatenate(list(project(path, pca))).std(axis=0, ddof=1)
    rank = min(distinct - 1, width)
    np.testing.assert_allclose(deviation[:rank], 1.0, rtol=0.01)
    assert (deviation[rank:] == 0).all()
    assert (pca.components_[rank:] == 0).all()


@pytest.mark.parametrize(("rows", "width", "components"), [(10, 4, 5), (3, 8, 4), (1, 4, 1)])
def test_too_many_components(tmp_path: Path, rows: int, width: int, components: int) -> None:
    write_features(tmp_path / "train.h5", np.ones((rows, width), np.float32))
    with pytest.raises(InputError, match=rf"reduce\.components: expected .*received {components}"):
        fit_pca(tmp_path / "train.h5", components)


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_features_that_are_not_finite(tmp_path: Path, memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", memory)
    features = low_rank(50, 4)
    for value in (np.inf, np.nan, 3e38):
        features[7, 1] = value
        write_features(tmp_path / "train.h5", features)
        if value == 3e38 and memory:  # float64 holds its square
            fit_pca(tmp_path / "train.h5", 2)
            continue
        with pytest.raises(InputError, match=r"train\.h5: expected finite features"):
            fit_pca(tmp_path / "train.h5", 2)

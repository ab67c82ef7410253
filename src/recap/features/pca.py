"""Principal component analysis of a feature file of any size, as scikit-learn's PCA has it.

Which solver, and why:

* A matrix that is small in float64, or has no more rows than columns: scikit-learn's own, in float64:
  "full" (a singular value decomposition) where N <= D, and elsewhere "covariance_eigh", which is five times
  faster there and in float64 as exact.
* Else the covariance, streamed: pass one accumulates the mean, pass two X'X of centred blocks of rows
  (products in float32, sums over blocks in float64), then the leading eigenvectors of the (D, D) matrix.
  Memory is that of the matrix and a few blocks, however many rows there are. scikit-learn's
  "covariance_eigh" forms the same matrix, but from all rows in memory, in float32 when they are float32 and
  uncentred, and computes all D eigenvectors; its default at this size, "randomized", is not exact.

Source: scikit-learn's definition of PCA; Golub & Van Loan, Matrix Computations, chapter 8, for the
symmetric eigenproblem. Shapes: N rows, D feature width, K components.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.linalg.blas import ssyrk
from sklearn.decomposition import PCA
from sklearn.utils.extmath import svd_flip

from recap.core.feature_files import open_features, read_blocks
from recap.errors import InputError
from recap.progress import track

IN_MEMORY_BYTES = 64 << 20  # of the matrix in float64
BLOCK_ROWS = 2048


def fit_pca(path: Path, components: int) -> PCA:
    """Fit PCA on a feature file; the same bits on every run with the same number of threads.

    Args:
        path: features (N, D) float32, as ``recap.core.feature_files`` writes them.
        components: K.

    Returns:
        A fitted ``sklearn.decomposition.PCA``: ``components_`` (K, D), ``mean_`` (D,),
        ``explained_variance_ratio_`` (K,), float64; each component's largest entry in magnitude is positive.

    Raises:
        InputError: K exceeds what N rows of D can have, a feature is not finite, or all rows are equal.
    """
    count, width = open_features(path).shape
    if count < 2 or components > min(count, width):
        raise InputError(
            f"reduce.components: expected at most {min(count, width)}, as {path.name} has {count} rows of "
            f"{width}, received {components}"
        )
    if _fits_in_memory(count, width):
        (features,) = read_blocks(path, count)
        _check_finite(features, path)
        if (features == features[0]).all():
            raise _all_equal(path, count)
        solver = "full" if count <= width else "covariance_eigh"
        return PCA(components, svd_solver=solver, copy=False).fit(features.astype(np.float64))
    mean = np.zeros(width)  # (D,)
    first = open_features(path)[0]
    differ = False
    for block in track(read_blocks(path, BLOCK_ROWS), "mean of the features", -(-count // BLOCK_ROWS)):
        mean += block.sum(axis=0, dtype=np.float64)
        differ = differ or bool((block != first).any())
    mean /= count
    _check_finite(mean, path)
    if not differ:
        raise _all_equal(path, count)
    covariance = _covariance(path, mean, count)
    _check_finite(covariance, path)
    return _from_covariance(covariance, mean, count, components)


def whiten(pca: PCA) -> None:
    """Scale the components of a fitted PCA to variance 1; those without variance become zero.

    What is left of a variance that is none is the rounding of the sums behind it: of float64, or of the
    float32 products of a streamed covariance.
    """
    count, width = pca.n_samples_, pca.n_features_in_
    rounding = (
        max(count, width) * np.finfo(np.float64).eps
        if _fits_in_memory(count, width)
        else 10 * np.finfo(np.float32).eps
    )
    variance = pca.explained_variance_  # (K,), descending
    has_variance = variance > rounding * variance[0]
    deviation = np.sqrt(np.where(has_variance, variance, 1.0))
    pca.components_ = (
        np.where(has_variance, 1.0, 0.0)[:, None] * pca.components_ / deviation[:, None]
    )  # (K, D)


def project(path: Path, pca: PCA) -> Iterator[NDArray[np.float32]]:
    """Features of a file in the space of a fitted PCA, block by block: (rows, K) float32 each."""
    components = np.ascontiguousarray(pca.components_.T, dtype=np.float32)  # (D, K)
    mean = pca.mean_.astype(np.float32)  # (D,)
    for block in read_blocks(path, BLOCK_ROWS):
        with np.errstate(over="ignore", invalid="ignore"):  # whoever takes the block looks at it
            yield (block - mean) @ components


def _fits_in_memory(count: int, width: int) -> bool:
    return count <= width or 8 * count * width <= IN_MEMORY_BYTES


def _all_equal(path: Path, count: int) -> InputError:
    return InputError(
        f"{path}: expected features that differ from image to image, received {count} equal rows; with "
        "reduce.enabled: false they pass as they are"
    )


def _check_finite(values: NDArray[np.floating], path: Path) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"{path}: expected finite features of moderate size, received NaN or infinity")


def _covariance(path: Path, mean: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The lower triangle of the covariance (D, D), in Fortran's order for LAPACK."""
    total = np.zeros((len(mean), len(mean)), order="F")  # (D, D)
    product = np.zeros_like(total, dtype=np.float32, order="F")
    for block in track(read_blocks(path, BLOCK_ROWS), "covariance", -(-count // BLOCK_ROWS)):
        block -= mean  # rounds once to float32; centred, so nothing cancels later
        ssyrk(1.0, block.T, c=product, beta=0.0, lower=1, overwrite_c=1)
        total += product
    total /= count - 1
    return total


def _from_covariance(
    covariance: NDArray[np.float64], mean: NDArray[np.float64], count: int, components: int
) -> PCA:
    """The PCA of the leading eigenvectors; overwrites ``covariance``."""
    width = len(mean)
    total_variance = float(np.trace(covariance))
    variance, vectors = eigh(
        covariance,
        lower=True,
        overwrite_a=True,
        check_finite=False,
        subset_by_index=(width - components, width - 1),
        driver="evr",
    )  # ascending (K,), (D, K)
    variance = np.clip(variance[::-1], 0.0, None)  # rounding can leave a zero slightly negative
    _, directions = svd_flip(None, np.ascontiguousarray(vectors[:, ::-1].T), u_based_decision=False)
    pca = PCA(components, svd_solver="covariance_eigh")
    pca.mean_ = mean
    pca.components_ = directions  # (K, D)
    pca.explained_variance_ = variance
    pca.explained_variance_ratio_ = variance / total_variance if total_variance else np.zeros(components)
    pca.singular_values_ = np.sqrt(variance * (count - 1))
    pca.noise_variance_ = max(total_variance - variance.sum(), 0.0) / max(width - components, 1)
    pca.n_samples_ = count
    pca.n_features_in_ = width
    pca.n_components_ = components
    return pca

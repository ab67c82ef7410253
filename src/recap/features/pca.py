"""Principal component analysis of a feature file of any size, as scikit-learn's PCA has it.

* A matrix that is small in float64, or has no more rows than columns: scikit-learn's own, in float64: "full"
  where N <= D, and elsewhere "covariance_eigh", which is five times faster there and in float64 as exact.
* Else the covariance, streamed: the mean, then X'X of centred blocks (products in float32, sums in float64),
  then the leading eigenvectors. Memory is that of the (D, D) matrix and a few blocks. scikit-learn would hold
  all rows, uncentred, in float32; its default at this size, "randomized", is not exact.

Source: Golub & Van Loan, Matrix Computations, chapter 8. Shapes: N rows, D feature width, K components.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.linalg.blas import ssyrk
from sklearn.decomposition import PCA
from sklearn.utils.extmath import svd_flip

from recap.core.feature_files import BLOCK_ROWS, open_features, read_blocks
from recap.errors import InputError
from recap.progress import track

IN_MEMORY_BYTES = 64 << 20  # of the matrix in float64
Part = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""What is looked at of a block of a file's rows: other rows, perhaps, of fewer columns."""


def fit_pca(
    path: Path,
    components: int,
    part: Part = lambda block: block,
    setting: str = "reduce.components",
) -> PCA:
    """Fit PCA on a feature file; the same bits on every run with the same number of threads.

    Args:
        path: features (N, D) float32, as ``recap.core.feature_files`` writes them.
        components: K.
        part: of the file's rows, which is looked at; N and D are its.
        setting: which asked for K, for messages.

    Returns:
        A fitted ``sklearn.decomposition.PCA``, float64; each component's largest entry by size is positive.

    Raises:
        InputError: K exceeds what N rows of D can have, a feature is not finite, or all rows are equal.
    """
    rows = len(open_features(path))
    first = part(open_features(path)[:1])
    count, width = rows * len(first), first.shape[1]
    if count < 2 or components > min(count, width):
        raise InputError(
            f"{setting}: expected at most {min(count, width)}, as {path.name} has {count} rows of "
            f"{width}, received {components}"
        )
    if _fits_in_memory(count, width):
        (features,) = map(part, read_blocks(path, rows))
        check_finite(features, path)
        if (features == features[0]).all():
            raise _all_equal(path, count)
        solver = "full" if count <= width else "covariance_eigh"
        return PCA(components, svd_solver=solver, copy=False).fit(features.astype(np.float64))
    mean = np.zeros(width)  # (D,)
    differ = False
    for block in track(
        map(part, read_blocks(path, BLOCK_ROWS)), "mean of the features", -(-rows // BLOCK_ROWS)
    ):
        mean += block.sum(axis=0, dtype=np.float64)
        differ = differ or bool((block != first[0]).any())
    mean /= count
    check_finite(mean, path)
    if not differ:
        raise _all_equal(path, count)
    covariance = _covariance(path, mean, count, part)
    check_finite(covariance, path)
    return _from_covariance(covariance, mean, count, components)


def whiten(pca: PCA) -> None:
    """Scale the components of a fitted PCA to variance 1; those whose variance is rounding become zero."""
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


def project(path: Path, pca: PCA, part: Part = lambda block: block) -> Iterator[NDArray[np.float32]]:
    """Project a part of a file's rows to the components of a PCA, block by block: (rows, K) float32 each."""
    return map(projector(pca), map(part, read_blocks(path, BLOCK_ROWS)))


def projector(pca: PCA) -> Part:
    """Return what brings rows (N, D) into the space of a fitted PCA: (N, K) float32."""
    components = np.ascontiguousarray(pca.components_.T, dtype=np.float32)  # (D, K)
    mean = pca.mean_.astype(np.float32)  # (D,)

    def project_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):  # whoever takes the rows looks at them
            return (rows - mean) @ components

    return project_rows


def _fits_in_memory(count: int, width: int) -> bool:
    return count <= width or 8 * count * width <= IN_MEMORY_BYTES


def _all_equal(path: Path, count: int) -> InputError:
    return InputError(
        f"{path}: expected features that differ from image to image, received {count} equal rows; with "
        "reduce.enabled: false they pass as they are"
    )


def check_finite(values: NDArray[np.floating], path: Path) -> None:
    """Raise InputError where values that were computed of a feature file hold NaN or infinity."""
    if not np.isfinite(values).all():
        raise InputError(f"{path}: expected finite features of moderate size, received NaN or infinity")


def _covariance(path: Path, mean: NDArray[np.float64], count: int, part: Part) -> NDArray[np.float64]:
    """Return the lower triangle of the covariance (D, D), in Fortran's order for LAPACK."""
    total = np.zeros((len(mean), len(mean)), order="F")  # (D, D)
    product = np.zeros_like(total, dtype=np.float32, order="F")
    blocks = -(-len(open_features(path)) // BLOCK_ROWS)
    for block in track(map(part, read_blocks(path, BLOCK_ROWS)), "covariance", blocks):
        block -= mean  # rounds once to float32; centred, so nothing cancels later
        ssyrk(1.0, block.T, c=product, beta=0.0, lower=1, overwrite_c=1)
        total += product
    total /= count - 1
    return total


def _from_covariance(
    covariance: NDArray[np.float64], mean: NDArray[np.float64], count: int, components: int
) -> PCA:
    """Return the PCA of the leading eigenvectors; overwrites ``covariance``."""
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

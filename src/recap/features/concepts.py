"""What an image's feature predicts of the words of its captions (explicit concepts: Wu et al. 2016).

Kernel ridge regression (Saunders, Gammerman and Vovk 1998) of how many of an image's captions say a word,
weighted by how rare it is, on the image's feature; the principal components of what it predicts are the
concepts. The kernel is a Gaussian of the distance to training images: to all, or to some of many (Williams
and Seeger 2001).

A regression knows its training images too well, so training images get theirs from regressions that have not
seen them (cross-fitting, as stacking does: Wolpert 1992), of all parts of the rows but their own.
Shapes: N images, M captions, L steps, D feature, V words, C concepts, Q landmarks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.decomposition import PCA
from sklearn.utils.extmath import svd_flip

from recap.core.feature_files import BLOCK_ROWS, open_features
from recap.errors import InputError
from recap.features.pca import check_finite, projector
from recap.progress import track
from recap.text.vocabulary import UNK

FOLDS = 10
LANDMARKS = 2048
"""Training images at most to which others are compared."""
WIDTH = 0.5
"""Of the kernel: where it falls to 1/e, in mean squared distances between landmarks, as COCO chose it."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Regression:
    """From what the kernel says of images, (N, Q), to their concepts."""

    weights: Array  # (Q, C)
    offset: Array  # (C,)

    def __call__(self, similarities: Array) -> Array:
        """(N, Q) -> (N, C)."""
        return similarities @ self.weights - self.offset


@dataclass(frozen=True)
class Concepts:
    """Regressions on the similarities of images to landmarks."""

    landmarks: Array  # (Q, D)
    width: float  # of the kernel, in squared distances
    whole: Regression  # for images that it has not seen
    of_fold: list[Regression]  # for the training rows of each part

    def similarities(self, features: NDArray[np.floating]) -> Array:
        """Return the kernel of features (N, D) and the landmarks, (N, Q)."""
        return _kernel(features, self.landmarks, self.width)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return what `recap.features.projection.Projection` is made of."""
        found = {
            "concept_landmarks": self.landmarks,
            "concept_width": np.array([self.width]),
            "concept_weights": self.whole.weights,
            "concept_offset": self.whole.offset,
        }
        return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in found.items()}


@dataclass(frozen=True)
class _Sums:
    """Of some images: how many, sums of features (Q,), shares (V,), and products (Q, Q), (Q, V)."""

    images: int
    features: Array
    shares: Array
    squares: Array
    crossed: Array

    @classmethod
    def of(cls, features: Array, shares: Array) -> "_Sums":
        """Return the sums of images with features (N, Q) and shares (N, V)."""
        return cls(
            len(features),
            features.sum(axis=0),
            shares.sum(axis=0),
            features.T @ features,
            features.T @ shares,
        )

    def plus(self, part: "_Sums", sign: int = 1) -> "_Sums":
        """With the images of ``part``, or with sign -1 without them."""
        return _Sums(
            self.images + sign * part.images,
            self.features + sign * part.features,
            self.shares + sign * part.shares,
            self.squares + sign * part.squares,
            self.crossed + sign * part.crossed,
        )

    def solve(self, penalty: float) -> Array:
        """Return the weights (Q, V) of these images' ridge regression; its intercept is not penalised."""
        squares = self.squares - np.outer(self.features, self.features) / self.images
        squares[np.diag_indices(len(squares))] += penalty * np.trace(squares) / self.images
        crossed = self.crossed - np.outer(self.features, self.shares) / self.images
        return np.asarray(cho_solve(cho_factor(squares, overwrite_a=True), crossed))


def fold_rows(count: int) -> list[slice]:
    """Return the training rows of each part: neighbours, so that a part is read at once."""
    bounds = [count * fold // FOLDS for fold in range(FOLDS + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]


def word_shares(
    captions: NDArray[np.int32], image_rows: NDArray[np.int32], images: int, words: int
) -> NDArray[np.float64]:
    """For each image and word the share of captions with it, times log(images / images that have the word).

    Captions are numbers of words (M, L), image_rows (M,).

    Returns:
        (N, V); 0 for the special words and those that no caption has.
    """
    said = np.zeros((images, words))
    for row, caption in zip(image_rows.tolist(), captions, strict=True):
        said[row, np.unique(caption)] += 1
    said[:, : UNK + 1] = 0
    frequency = (said > 0).sum(axis=0)  # (V,)
    idf = np.where(frequency > 0, np.log(images / np.maximum(frequency, 1)), 0.0)
    captions_of = np.bincount(image_rows, minlength=images)[:, None]  # (N, 1)
    return said / np.maximum(captions_of, 1) * idf


def fit_concepts(path: Path, shares: Array, concepts: int, penalty: float) -> Concepts:
    """Fit the regressions, that of all training images and one for each part of them.

    Args:
        path: training features (N, D) float32.
        shares: (N, V), as ``word_shares`` gives them.
        concepts: C.
        penalty: of the squared weights, in mean squared norms of what the kernel makes of a feature, centred.

    Returns:
        Regressions whose cross-fitted concepts have variance 1, the most telling one first.

    Raises:
        InputError: fewer images than parts, more concepts than words or landmarks, or features too large.
    """
    features = open_features(path)
    count, width = features.shape
    chosen = np.linspace(0, count - 1, min(count, LANDMARKS)).round().astype(np.int64)
    limit = min(len(chosen), int((shares != 0).any(axis=0).sum())) if count >= FOLDS else 0
    if concepts > limit:
        raise InputError(
            f"reduce.concepts: expected at most {limit}, as {path.name} has {count} rows of {width} and "
            f"their captions {shares.shape[1]} words, received {concepts}"
        )
    landmarks = np.asarray(features[chosen], dtype=np.float64)
    distances = _squared_distances(landmarks, landmarks)
    if not distances.max() < np.finfo(np.float32).max:  # captioners compute in float32
        raise InputError(f"{path}: expected finite features of moderate size, received NaN or infinity")
    kernel_width = WIDTH * float(distances.mean()) or 1.0
    # what the kernel is the product of
    root = _inverse_root(np.exp(distances / -kernel_width))  # (Q, Q)
    folds = fold_rows(count)
    sums = [
        _Sums.of(_kernel(features[fold], landmarks, kernel_width) @ root, shares[fold])
        for fold in track(folds, "concepts: sums")
    ]
    total = reduce(_Sums.plus, sums)
    check_finite(total.squares, path)
    mean = total.features / count  # (Q,)
    weights, predicted = [], np.zeros((shares.shape[1],) * 2)
    for fold, own in zip(track(folds, "concepts: regressions"), sums, strict=True):
        weights.append(total.plus(own, -1).solve(penalty))  # (Q, V)
        similarities = _kernel(features[fold], landmarks, kernel_width)  # again: of all it can be large
        rows = (similarities @ root - mean) @ weights[-1]  # (rows, V)
        predicted += rows.T @ rows
    scaled = _leading(predicted / count, concepts).T  # (V, C)

    def regression(of_words: Array) -> Regression:
        along = of_words @ scaled  # (Q, C)
        return Regression(root @ along, mean @ along)

    whole = regression(total.solve(penalty))
    return Concepts(landmarks, kernel_width, whole, [regression(own) for own in weights])


def project_beside(
    path: Path, pca: PCA, concepts: Concepts, cross_fitted: bool
) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of a feature file in the space of a PCA, their concepts behind.

    Args:
        path: features (N, D) float32.
        pca: fitted.
        concepts: fitted.
        cross_fitted: of training images, from the regressions that have not seen them.
    """
    features = open_features(path)
    starts = range(0, len(features), BLOCK_ROWS)
    parts = [(slice(start, start + BLOCK_ROWS), concepts.whole) for start in starts]
    if cross_fitted:
        parts = list(zip(fold_rows(len(features)), concepts.of_fold, strict=True))
    project_rows = projector(pca)
    for rows, regression in parts:
        block = np.asarray(features[rows])
        predicted = regression(concepts.similarities(block)).astype(np.float32)
        yield np.concatenate([project_rows(block), predicted], axis=1)


def _kernel(features: NDArray[np.floating], landmarks: Array, width: float) -> Array:
    """Return the Gaussian kernel of features (N, D) and landmarks (Q, D), (N, Q)."""
    return np.exp(_squared_distances(features, landmarks) / -width)


def _squared_distances(a: NDArray[np.floating], b: Array) -> Array:
    """(N, D), (Q, D) -> (N, Q); not finite where a value is too large."""
    a = np.asarray(a, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.maximum((a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T), 0.0)


def _inverse_root(kernel: Array) -> Array:
    """Return the symmetric root of the inverse of a kernel (Q, Q), of its rank."""
    values, vectors = eigh(kernel)
    known = values > len(kernel) * np.finfo(np.float64).eps * values[-1]
    return np.asarray((vectors[:, known] / np.sqrt(values[known])) @ vectors[:, known].T)


def _leading(covariance: Array, count: int) -> Array:
    """Return the leading principal components of words (V, V), scaled to variance 1: (C, V)."""
    words = len(covariance)
    variance, vectors = eigh(covariance, subset_by_index=(words - count, words - 1))  # ascending
    _, vectors = svd_flip(None, np.ascontiguousarray(vectors[:, ::-1].T), u_based_decision=False)  # (C, V)
    variance = variance[::-1, None]  # (C, 1)
    # words that always go together say nothing new
    is_said = variance > np.finfo(np.float32).eps * variance[0]
    return np.where(is_said, vectors, 0.0) / np.sqrt(np.where(is_said, variance, 1.0))

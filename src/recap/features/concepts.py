"""Directions in feature space that foretell the words of an image's captions.

Ridge regression of how many of an image's captions say a word, weighted by how rare it is, on the image's
feature; the principal components of what it foretells are the concepts (explicit concepts: Wu et al. 2016).

A regression knows its training images too well, so training images get theirs from regressions that have not
seen them (cross-fitting, as stacking does: Wolpert 1992), of all parts of the rows but their own.
Shapes: N images, M captions, L steps, D feature, V words, C concepts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.decomposition import PCA
from sklearn.utils.extmath import svd_flip

from recap.core.feature_files import open_features
from recap.errors import InputError
from recap.progress import track
from recap.text.vocabulary import UNK

FOLDS = 10


@dataclass(frozen=True)
class Concepts:
    """What to multiply centred features with."""

    directions: NDArray[np.float64]  # (C, D), for images that the regression has not seen
    of_fold: NDArray[np.float64]  # (FOLDS, C, D), for the training rows of each part


@dataclass(frozen=True)
class _Sums:
    """Of some images: how many, sums of features (D,), shares (V,), and products (D, D), (D, V)."""

    images: int
    features: NDArray[np.float64]
    shares: NDArray[np.float64]
    squares: NDArray[np.floating]
    crossed: NDArray[np.floating]

    @classmethod
    def of(cls, features: NDArray[np.float32], shares: NDArray[np.float64]) -> "_Sums":
        """The sums of images with features (N, D), nearly centred, and shares (N, V)."""
        with np.errstate(over="ignore", invalid="ignore"):  # the sums are looked at
            crossed = features.T @ shares.astype(np.float32)
            squares = features.T @ features
        return cls(
            len(features), features.sum(axis=0, dtype=np.float64), shares.sum(axis=0), squares, crossed
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

    def solve(self, penalty: float) -> NDArray[np.float64]:
        """The weights (D, V) of the ridge regression of these images, whose intercept is not penalised."""
        squares = self.squares - np.outer(self.features, self.features) / self.images
        squares[np.diag_indices(len(squares))] += penalty * np.trace(squares) / self.images
        crossed = self.crossed - np.outer(self.features, self.shares) / self.images
        return np.asarray(cho_solve(cho_factor(squares, overwrite_a=True), crossed))


def fold_rows(count: int) -> list[slice]:
    """The training rows of each part: neighbours, so that a part is read at once."""
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


def fit_concepts(
    path: Path, mean: NDArray[np.float64], shares: NDArray[np.float64], concepts: int, penalty: float
) -> Concepts:
    """Fit the regressions, that of all training images and one for each part of them.

    Args:
        path: training features (N, D) float32.
        mean: (D,), theirs.
        shares: (N, V), as ``word_shares`` gives them.
        concepts: C.
        penalty: of the squared weights, in mean squared norms of a centred feature.

    Returns:
        Directions along which the cross-fitted concepts have variance 1, the most telling one first.

    Raises:
        InputError: fewer images than parts, more concepts than words or dimensions, or features too large.
    """
    features = open_features(path)
    count, width = features.shape
    limit = min(width, int((shares != 0).any(axis=0).sum())) if count >= FOLDS else 0
    if concepts > limit:
        raise InputError(
            f"reduce.concepts: expected at most {limit}, as {path.name} has {count} rows of {width} and "
            f"their captions {shares.shape[1]} words, received {concepts}"
        )
    folds = fold_rows(count)
    mean_32 = mean.astype(np.float32)
    sums = [
        _Sums.of(np.asarray(features[fold]) - mean_32, shares[fold])
        for fold in track(folds, "concepts: sums")
    ]
    words = shares.shape[1]
    total = _Sums(0, np.zeros(width), np.zeros(words), np.zeros((width, width)), np.zeros((width, words)))
    for part in sums:
        if not np.isfinite(part.squares).all():
            raise InputError(f"{path}: expected finite features of moderate size, received NaN or infinity")
        total = total.plus(part)
    weights = []  # for each part (D, V)
    foretold = np.zeros((words, words))
    for fold, own in zip(track(folds, "concepts: regressions"), sums, strict=True):
        weights.append(total.plus(own, -1).solve(penalty))
        rows = (np.asarray(features[fold]) - mean_32) @ weights[-1]  # (rows, V)
        foretold += rows.T @ rows
    variance, vectors = eigh(foretold / count, subset_by_index=(words - concepts, words - 1))  # ascending
    _, vectors = svd_flip(None, np.ascontiguousarray(vectors[:, ::-1].T), u_based_decision=False)  # (C, V)
    variance = variance[::-1, None]  # (C, 1)
    is_said = (
        variance > np.finfo(np.float32).eps * variance[0]
    )  # words that always go together say nothing new
    scaled = np.where(is_said, vectors, 0.0) / np.sqrt(np.where(is_said, variance, 1.0))
    return Concepts(
        scaled @ total.solve(penalty).T,  # (C, D)
        np.stack([scaled @ weight.T for weight in weights]),  # (FOLDS, C, D)
    )


def project_cross_fitted(path: Path, pca: PCA, concepts: Concepts) -> Iterator[NDArray[np.float32]]:
    """Yield training features part by part in a PCA's space, the last components each part's own concepts."""
    features = open_features(path)
    mean = pca.mean_.astype(np.float32)  # (D,)
    components = pca.components_.astype(np.float32)  # (K + C, D)
    for fold, directions in zip(fold_rows(len(features)), concepts.of_fold, strict=True):
        components[len(components) - len(directions) :] = directions
        yield (np.asarray(features[fold]) - mean) @ components.T

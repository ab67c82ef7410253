"""Features for captions of images that are not there: what an image with such words would have.

Regression of the training images' features on the words of their captions tells what to expect of an image of
which people say such words. Added is how far some training image lies from what is expected of it, so that
decoders learn how little a feature tells.

Shapes: N training images, M captions, L steps, V words, K feature, I images that are not there.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.sparse import csr_array

from recap.core.feature_files import open_features, write_feature_blocks
from recap.progress import track
from recap.text.captions import Captions, Encoded
from recap.text.vocabulary import UNK

DIRECTIONS = 64  # held-out images of COCO chose these three
DIRECTIONS_PENALTY = 4.0  # of the squared weights that find them, in mean squared norms of a centred feature
PENALTY = 0.02  # of those along them, in variances
SEED = 231  # draws whose distance is added
BLOCK_ROWS = 4096


def write_language_features(path: Path, training: Path, captions: Captions, language: Encoded) -> None:
    """Write for each caption (M, L) a feature (K,) float32 that the other captions of its image make expect.

    A caption that is its image's only one has what itself makes expect.

    Args:
        path: the file to write, (M, K).
        training: features (N, K) of the training images as decoders read them.
        captions: of the training images.
        language: captions of images that are not there.

    Raises:
        InputError: ``training`` is no feature file.
    """
    encoded, image_rows = language
    words = len(captions.vocabulary)
    counts = np.bincount(image_rows)  # (I,)
    said = _said(encoded, words)  # (M, V)
    said_of_images = _by_image(image_rows, len(counts)) @ said  # (I, V)
    frequency = np.bincount(said_of_images.indices, minlength=words)  # (V,)
    idf = np.where(frequency > 0, np.log(len(counts) / np.maximum(frequency, 1)), 0.0)

    features = open_features(training).astype(np.float64)  # (N, K)
    own, own_rows = captions.of("train")
    own_counts = np.bincount(own_rows, minlength=len(features)).clip(min=1)[:, None]
    shares = (_by_image(own_rows, len(features)) @ _said(own, words)).toarray() / own_counts * idf  # (N, V)
    mean_share, mean = shares.mean(axis=0), features.mean(axis=0)
    weights, distances = _regress(shares - mean_share, features - mean)
    drawn = np.random.default_rng(SEED).integers(len(features), size=len(encoded))

    def blocks() -> Iterator[NDArray[np.float32]]:
        for start in track(range(0, len(encoded), BLOCK_ROWS), "features of captions without images"):
            rows = slice(start, start + BLOCK_ROWS)
            images = image_rows[rows]
            others = counts[images][:, None] - 1  # (rows, 1)
            own_words = said[rows].toarray() * (others > 0)
            shares = (said_of_images[images].toarray() - own_words) / others.clip(min=1) * idf  # (rows, V)
            expected = (shares - mean_share) @ weights + mean
            yield (expected + distances[drawn[rows]]).astype(np.float32)

    write_feature_blocks(path, (len(encoded), features.shape[1]), blocks())


def _said(encoded: NDArray[np.int32], words: int) -> csr_array:
    """Return (M, V) with 1 where a caption (M, L) has a word, special words apart."""
    in_order = np.sort(encoded, axis=1)
    first = np.diff(in_order, axis=1, prepend=-1) != 0  # each word once
    rows, steps = np.nonzero(first & (in_order > UNK))
    return csr_array((np.ones(len(rows)), (rows, in_order[rows, steps])), shape=(len(encoded), words))


def _by_image(image_rows: NDArray[np.int32], images: int) -> csr_array:
    """Return (I, M) that sums rows of captions (M,) by image."""
    captions = len(image_rows)
    return csr_array((np.ones(captions), (image_rows, np.arange(captions))), shape=(images, captions))


def _regress(
    shares: NDArray[np.float64], features: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Regress centred features (N, K) on centred shares (N, V) along few directions among words.

    The directions are the principal components of the shares that the features predict by ridge regression.

    Returns:
        The weights (V, K), and the distance (N, K) of each feature from what they make expect.
    """
    squares = features.T @ features  # (K, K)
    penalty = DIRECTIONS_PENALTY * np.trace(squares) / len(features) or 1.0  # where all features are equal
    regression = cho_solve(cho_factor(_plus(squares, penalty)), features.T @ shares)  # (K, V)
    variances, axes = eigh(squares)
    predicted = (axes * np.sqrt(variances.clip(min=0))).T @ regression  # (K, V), products as of all N rows
    spread, leading = eigh(predicted @ predicted.T)  # ascending
    leading = leading[:, spread > np.finfo(np.float32).eps * spread[-1]][:, -DIRECTIONS:]
    directions = predicted.T @ leading  # (V, at most DIRECTIONS)
    directions /= (shares @ directions).std(axis=0)
    along = shares @ directions
    inner = _plus(along.T @ along, PENALTY * len(features))
    weights = directions @ cho_solve(cho_factor(inner), along.T @ features)  # (V, K)
    return weights, features - shares @ weights


def _plus(squares: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return a matrix with a penalty on its diagonal."""
    penalised = squares.copy()
    penalised[np.diag_indices(len(squares))] += penalty
    return penalised

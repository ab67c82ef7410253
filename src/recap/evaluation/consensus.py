"""CIDEr-D in sparse matrices: what one constant caption and what people themselves would score.

Formulas: Vedantam et al. 2015, as COCO's official code has them: counts clipped to the reference's, and a
Gaussian penalty (sigma 6) on the difference in the number of bigrams. N images, R references in all,
V distinct n-grams of one order, L distinct lengths, P pairs of references.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0
SCALE = 10 / len(ORDERS)


@dataclass(frozen=True)
class _Order:
    """The references in n-grams of one order: counts (R, V), squared idf (V,), one over the norm (R,)."""

    counts: sparse.csr_array
    squared_idf: NDArray[np.float64]
    scale: NDArray[np.float64]


def best_constant_caption(references: Sequence[Sequence[str]]) -> tuple[str, float]:
    """The reference that scores best when it is said of every image, and its CIDEr-D: the floor.

    Args:
        references: tokenized captions of people, one or more an image; the idf comes from them.
    """
    captions = [caption for own in references for caption in own]
    image_share = np.concatenate([np.full(len(own), 1 / (len(own) * len(references))) for own in references])
    bigrams = _bigrams(captions)
    lengths, length_of = np.unique(bigrams, return_inverse=True)
    by_length = sparse.csr_array((image_share, (length_of, np.arange(len(captions)))))  # (L, R)
    penalty = _length_penalty(bigrams[:, None] - lengths[None, :])  # (R, L)
    totals = np.zeros(len(captions))
    for order in _orders(references):
        similarity = np.zeros(penalty.shape)
        # min(a, b) = sum over k of [a >= k] [b >= k], so clipped counts become products of matrices.
        for times in range(1, int(order.counts.data.max(initial=0)) + 1):
            at_least = (order.counts >= times).astype(np.float64)
            reference = at_least.multiply(order.counts).multiply(order.squared_idf[None, :])
            reference = reference.multiply(order.scale[:, None])  # (R, V)
            similarity += (at_least @ (by_length @ reference).T).toarray()  # (R, L)
        totals += (similarity * penalty).sum(axis=1) * order.scale
    best = int(np.argmax(totals))
    return captions[best], float(totals[best] * SCALE)


def leave_one_out(references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """CIDEr-D of people: each caption against the others of its image, averaged over the image: the ceiling.

    The idf comes from all references, as it does for a model that is scored against them.

    Args:
        references: tokenized captions of people, one or more an image.

    Returns:
        (N',) float64: one score for every image with at least two captions, in their order.
    """
    captions = [caption for own in references for caption in own]
    first, second, image_of = [], [], []
    start = 0
    for image, own in enumerate(references):
        pairs = [(i, j) for i in range(len(own)) for j in range(len(own)) if i != j]
        first += [start + i for i, _ in pairs]
        second += [start + j for _, j in pairs]
        image_of += [image] * len(pairs)
        start += len(own)
    if not first:
        return np.zeros(0)
    similarity = np.zeros(len(first))  # (P,)
    for order in _orders(references):
        other = order.counts[second]
        clipped = order.counts[first].minimum(other).multiply(other)  # (P, V)
        similarity += (clipped @ order.squared_idf) * order.scale[first] * order.scale[second]
    bigrams = _bigrams(captions)
    similarity *= _length_penalty(bigrams[first] - bigrams[second])
    pairs_of = np.bincount(image_of, minlength=len(references))
    sums = np.bincount(image_of, weights=similarity, minlength=len(references))
    return sums[pairs_of > 0] / pairs_of[pairs_of > 0] * SCALE


def _orders(references: Sequence[Sequence[str]]) -> Iterator[_Order]:
    image_of = [image for image, own in enumerate(references) for _ in own]
    words = [caption.split() for own in references for caption in own]
    for size in ORDERS:
        columns: dict[tuple[str, ...], int] = {}
        rows = []
        indices = []
        for row, caption in enumerate(words):
            ngrams = list(zip(*(caption[offset:] for offset in range(size)), strict=False))
            rows += [row] * len(ngrams)
            indices += [columns.setdefault(ngram, len(columns)) for ngram in ngrams]
        shape = (len(words), max(len(columns), 1))
        counts = sparse.csr_array((np.ones(len(rows)), (rows, indices)), shape=shape)  # sums what is doubled
        present = sparse.csr_array(
            (np.ones(len(rows)), (np.array(image_of)[rows], indices)), shape=(len(references), shape[1])
        )
        frequency = np.bincount(present.indices, minlength=shape[1])
        squared_idf = (np.log(len(references)) - np.log(np.maximum(frequency, 1))) ** 2
        norms = np.sqrt(counts.multiply(counts) @ squared_idf)
        yield _Order(counts, squared_idf, np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0))


def _bigrams(captions: Sequence[str]) -> NDArray[np.float64]:
    return np.array([max(len(caption.split()) - 1, 0) for caption in captions], dtype=np.float64)


def _length_penalty(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-(difference**2) / (2 * SIGMA**2))

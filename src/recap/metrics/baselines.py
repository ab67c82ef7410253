"""CIDEr-D in sparse matrices: what one constant caption and what people themselves would score.

Formulas: Vedantam et al. 2015, as COCO's official code has them: counts clipped to the reference's, and a
Gaussian penalty (sigma 6) on the difference in the number of bigrams. The idf comes from all references,
tokenized captions of people, one or more an image. N images, R references in all, V distinct n-grams of one
order, L distinct lengths, P pairs of references.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recap.metrics.cider_d import SCALE, SIGMA
from recap.metrics.ngrams import ORDERS, count_words, number_ngrams
from recap.progress import track

ROWS_AT_ONCE = 100_000
CELLS_AT_ONCE = 10_000_000
PAIRS_AT_ONCE = 500_000
MANY = 100
"""More captions of an image than these are not compared in pairs, whose number grows with their square."""


@dataclass(frozen=True)
class _Order:
    """The references in n-grams of one order: counts (R, V), squared idf (V,), one over the norm (R,)."""

    counts: sparse.csr_array
    squared_idf: NDArray[np.float64]
    scale: NDArray[np.float64]

    def of(self, rows: slice) -> "_Order":
        """Some of the references, with the n-grams that they have."""
        counts = self.counts[rows]
        used, columns = np.unique(counts.indices, return_inverse=True)
        counts = sparse.csr_array((counts.data, columns, counts.indptr), (counts.shape[0], max(len(used), 1)))
        squared_idf = self.squared_idf[used] if len(used) else np.zeros(1)
        return _Order(counts, squared_idf, self.scale[rows])


def best_constant_caption(references: Sequence[Sequence[str]]) -> tuple[str, float]:
    """Return the reference that scores best when it is said of every image, and its CIDEr-D: the floor."""
    captions = [caption for own in references for caption in own]
    image_share = np.concatenate([np.full(len(own), 1 / (len(own) * len(references))) for own in references])
    bigrams = _bigrams(captions)
    totals = np.zeros(len(captions))
    for order in track(_orders(references), "best constant caption", len(ORDERS)):
        totals += _similarities(order, bigrams, image_share)
    best = int(np.argmax(totals))
    return captions[best], float(totals[best] * SCALE)


def leave_one_out(references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """CIDEr-D of people: each caption against the others of its image, averaged over the image: the ceiling.

    Returns:
        (N',) float64: one score for every image with at least two captions, in their order.
    """
    captions = [caption for own in references for caption in own]
    bigrams = _bigrams(captions)
    sizes = np.array([len(own) for own in references])
    starts = np.cumsum(sizes) - sizes
    sums, pairs_of = np.zeros(len(references)), sizes * (sizes - 1)
    if not pairs_of.any():
        return np.zeros(0)
    orders = list(_orders(references))
    few = sizes <= MANY
    blocks = np.cumsum(pairs_of * few) // PAIRS_AT_ONCE  # images by the block of pairs that they end in
    for block in track(np.unique(blocks[few]), "people, leave one out"):
        images = np.flatnonzero((blocks == block) & few)
        first, second, image_of = _pairs(starts[images], sizes[images])
        similarity = np.zeros(len(first))  # (P,)
        for order in orders:
            other = order.counts[second]
            clipped = order.counts[first].minimum(other).multiply(other)  # (P, V)
            similarity += (clipped @ order.squared_idf) * order.scale[first] * order.scale[second]
        similarity *= _length_penalty(bigrams[first] - bigrams[second])
        sums[images] = np.bincount(image_of, weights=similarity, minlength=len(images))
    for image in track(np.flatnonzero(~few), "people, leave one out of many"):
        rows = slice(starts[image], starts[image] + sizes[image])
        for order in orders:
            own = order.of(rows)
            itself = np.count_nonzero(own.scale)  # the cosine of each with itself is 1, or 0 without weights
            sums[image] += _similarities(own, bigrams[rows], np.ones(sizes[image])).sum() - itself
    return sums[pairs_of > 0] / pairs_of[pairs_of > 0] * SCALE


def _similarities(
    order: _Order, bigrams: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return each text's similarity in one order to all texts (R,), added up by weights (R,)."""
    lengths, length_of = np.unique(bigrams, return_inverse=True)
    by_length = sparse.csr_array((weights, (length_of, np.arange(len(bigrams)))))  # (L, R)
    # min(a, b) = sum over k of [a >= k] [b >= k], so clipped counts become products of matrices; between
    # two counts that occur these do not change.
    steps = np.unique(order.counts.data)
    said = []
    own = order.counts.copy()
    for times, width in zip(steps, np.diff(steps, prepend=0), strict=True):
        own.data[own.data < times] = 0
        own.eliminate_zeros()
        reference = own.multiply(order.squared_idf[None, :]).multiply(order.scale[:, None])  # (R, V)
        at_least = own.copy()
        at_least.data[:] = 1
        said.append((at_least, (by_length @ reference.tocsr()).T.tocsr() * width))
    totals = np.zeros(len(bigrams))
    at_once = max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // len(lengths)))
    for first in range(0, len(bigrams), at_once):
        rows = slice(first, first + at_once)
        penalty = _length_penalty(bigrams[rows, None] - lengths[None, :])  # (rows, L)
        similarity = np.zeros(penalty.shape)
        for at_least, reference in said:
            similarity += (at_least[rows] @ reference).toarray()
        totals[rows] = (similarity * penalty).sum(axis=1) * order.scale[rows]
    return totals


def _pairs(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Return all ordered pairs of captions of the same image, and the image, by its place here."""
    of_size = {size: np.nonzero(~np.eye(size, dtype=bool)) for size in np.unique(sizes).tolist()}
    found = [
        (start + left, start + right, np.full(len(left), image))
        for image, (start, size) in enumerate(zip(starts, sizes.tolist(), strict=True))
        for left, right in [of_size[size]]
    ]
    first, second, image_of = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return first, second, image_of


def _orders(references: Sequence[Sequence[str]]) -> Iterator[_Order]:
    image_of = np.repeat(np.arange(len(references)), [len(own) for own in references])
    for ngrams in number_ngrams([caption for own in references for caption in own]):
        shape = (len(image_of), max(ngrams.different, 1))
        ones = np.ones(len(ngrams.texts))
        counts = sparse.csr_array((ones, (ngrams.texts, ngrams.numbers)), shape=shape)  # sums what is doubled
        present = sparse.csr_array(
            (ones, (image_of[ngrams.texts], ngrams.numbers)), shape=(len(references), shape[1])
        )
        frequency = np.bincount(present.indices, minlength=shape[1])
        squared_idf = (np.log(len(references)) - np.log(np.maximum(frequency, 1))) ** 2
        norms = np.sqrt(counts.multiply(counts) @ squared_idf)
        yield _Order(counts, squared_idf, np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0))


def _bigrams(captions: Sequence[str]) -> NDArray[np.float64]:
    return np.maximum(count_words(captions) - 1, 0).astype(np.float64)


def _length_penalty(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-(difference**2) / (2 * SIGMA**2))

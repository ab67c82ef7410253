"""The n-grams of many texts as numbers, so that NumPy can count them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ORDERS = (1, 2, 3, 4)


class Ngrams(NamedTuple):
    """All n-grams of one order in their order in the texts, K of them, V different.

    Attributes:
        texts: (K,) int64, the text that each is in.
        numbers: (K,) int64, which it is: 0 to V - 1 by their first places in the texts.
        different: V.
    """

    texts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    different: int


def count_words(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of words of each text."""
    return np.fromiter((len(text.split()) for text in texts), np.int64, len(texts))


def number_ngrams(texts: Sequence[str]) -> Iterator[Ngrams]:
    """Number the n-grams of 1, 2, 3 and 4 words; none runs over the end of a text.

    Args:
        texts: words with white space between them.
    """
    lengths = count_words(texts)
    vocabulary: defaultdict[str, int] = defaultdict(count().__next__)
    words = np.fromiter(
        map(vocabulary.__getitem__, chain.from_iterable(map(str.split, texts))), np.int64, int(lengths.sum())
    )
    owners = np.repeat(np.arange(len(texts)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(words))  # words up to the text's end
    places, numbers = np.arange(len(words)), words
    yield Ngrams(owners, words, len(vocabulary))
    for size in ORDERS[1:]:
        inside = left[places] >= size
        places = places[inside]
        following = words[places + size - 1]
        numbers, different = factorize(numbers[inside] * len(vocabulary) + following)
        yield Ngrams(owners[places], numbers, len(different))


def factorize(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Number values by their first places; returns each one's number, and the different values so ordered."""
    different, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order))
    return numbers[inverse], different[order]

"""The words that captions are made of, and their numbers.

Shapes: M captions, L steps of a caption (<START> and <END> included).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.errors import InputError

SPECIAL_WORDS = ("<NULL>", "<START>", "<END>", "<UNK>")
NULL, START, END, UNK = range(4)

_APOSTROPHES = re.compile("['’]")
_WORD = re.compile(r"[^\W_]+")


def split_words(caption: str) -> list[str]:
    """The words of a caption: lowercase, apostrophes dropped, all other punctuation between words.

    >>> split_words("A dog's wine-filled glass, on 2 tables.")
    ['a', 'dogs', 'wine', 'filled', 'glass', 'on', '2', 'tables']
    """
    return _WORD.findall(_APOSTROPHES.sub("", caption.lower()))


@dataclass(frozen=True)
class Vocabulary:
    """Words by number; <NULL> 0, <START> 1, <END> 2, <UNK> 3."""

    idx_to_word: tuple[str, ...]

    @cached_property
    def word_to_idx(self) -> dict[str, int]:
        """Numbers by word."""
        return {word: number for number, word in enumerate(self.idx_to_word)}

    def __len__(self) -> int:
        return len(self.idx_to_word)

    def encode(self, captions: Sequence[Sequence[str]], max_length: int) -> NDArray[np.int32]:
        """Captions as numbers, in the CS231n layout.

        Args:
            captions: the words of each caption.
            max_length: steps of an encoded caption; what is longer is cut, <END> is kept.

        Returns:
            (M, max_length) int32: <START>, the words, <END>, then <NULL>.
        """
        number = self.word_to_idx
        encoded = np.full((len(captions), max_length), NULL, dtype=np.int32)  # (M, L)
        for row, words in enumerate(captions):
            words = words[: max_length - 2]
            encoded[row, : len(words) + 2] = [START, *(number.get(word, UNK) for word in words), END]
        return encoded

    def decode(self, caption: Iterable[int]) -> str:
        """The text of an encoded caption: up to <END>, without <START> and <NULL>; <UNK> stays."""
        words = []
        for number in caption:
            if number == END:
                break
            if number not in (NULL, START):
                words.append(self.idx_to_word[number])
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        """The content of vocabulary.json."""
        return {"idx_to_word": list(self.idx_to_word), "word_to_idx": self.word_to_idx}


def build_vocabulary(captions: Iterable[Sequence[str]], min_count: int, max_words: int | None) -> Vocabulary:
    """The special words, then the others, most frequent first, equally frequent ones by alphabet.

    Args:
        captions: the words of each training caption.
        min_count: a word that occurs less often is left out.
        max_words: the size at most, special words included; None for no limit.
    """
    counts = Counter(word for words in captions for word in words)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [word for word, count in ranked if count >= min_count]
    if max_words is not None:
        words = words[: max_words - len(SPECIAL_WORDS)]
    return Vocabulary((*SPECIAL_WORDS, *words))


def parse_vocabulary(content: Any, where: str) -> Vocabulary:
    """Check a vocabulary in the CS231n form.

    Args:
        content: parsed JSON, ``{"idx_to_word": [word, ...], "word_to_idx": {word: number}}``.
        where: named in the error.

    Raises:
        InputError: it has another form, a word twice, or not the four special words first.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("idx_to_word"), list):
        raise InputError(f"{where}: expected an object with a list idx_to_word, received something else")
    words = content["idx_to_word"]
    if not all(isinstance(word, str) for word in words):
        raise InputError(f"{where}: expected words as text in idx_to_word, received other values")
    if tuple(words[: len(SPECIAL_WORDS)]) != SPECIAL_WORDS:
        first = ", ".join(words[: len(SPECIAL_WORDS)]) or "none"
        raise InputError(f"{where}: expected the words {', '.join(SPECIAL_WORDS)} first, received {first}")
    vocabulary = Vocabulary(tuple(words))
    if len(vocabulary.word_to_idx) != len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise InputError(f"{where}: expected every word once, received {twice!r} more than once")
    if content.get("word_to_idx") != vocabulary.word_to_idx:
        raise InputError(f"{where}: expected word_to_idx to invert idx_to_word, received other numbers")
    return vocabulary

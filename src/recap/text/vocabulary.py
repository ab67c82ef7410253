"""The tokens that captions are made of, words or characters, and their numbers.

Shapes: M captions, L steps of a caption (<START> and <END> included).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recap.errors import InputError

SPECIAL_WORDS = ("<NULL>", "<START>", "<END>", "<UNK>")
NULL, START, END, UNK = range(4)

Tokens = Literal["word", "char"]

_APOSTROPHES = re.compile("['’]")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
"""Soft hyphens, marks of direction and joiners that no word is spelt with."""
_JOINER, _NON_JOINER = "\u200d", "\u200c"
_SPACING_VOWELS = "\u0e33\u0eb3"
"""Letters of Thai and Lao that belong to the character before them."""


@cache
def _marks() -> str:
    """Return all combining marks: the accents, vowel signs and variation selectors of any script."""
    points = (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))
    return "".join(character for character in map(chr, points) if unicodedata.category(character)[0] == "M")


@cache
def _word() -> re.Pattern[str]:
    """Return a pattern of words: letters and digits with marks, Persian's half-space between letters."""
    return re.compile(rf"[^\W_](?:[^\W_]|[{_marks()}{_JOINER}]|{_NON_JOINER}(?=[^\W_]))*")


@cache
def _character() -> re.Pattern[str]:
    """Return a pattern of a character as people count them: with all the marks on it."""
    return re.compile(rf".[{_marks()}{_JOINER}{_NON_JOINER}{_SPACING_VOWELS}]*", re.DOTALL)


def compose(text: str) -> str:
    """Return a text in Unicode's composed form (NFC), without characters that cannot be seen.

    >>> compose("cafe\u0301 snow\u00adman") == "caf\u00e9 snowman"
    True
    """
    return text if text.isascii() else unicodedata.normalize("NFC", _INVISIBLE.sub("", text))


def split_words(caption: str) -> list[str]:
    """Return the words of a caption: lowercase, apostrophes dropped, all other punctuation between words.

    They are in Unicode's composed form (NFC); accents, vowel signs and the half-space of Persian belong to
    them, soft hyphens do not.

    >>> split_words("A dog's wine-filled glass, on 2 tables.")
    ['a', 'dogs', 'wine', 'filled', 'glass', 'on', '2', 'tables']
    """
    text = compose(_APOSTROPHES.sub("", compose(caption).lower()))
    return _word().findall(text)


def split_tokens(caption: str, tokens: Tokens) -> list[str]:
    """Return the tokens of a caption: its words, or the characters of its words with a space between words.

    A character keeps its accents and vowel signs.

    >>> split_tokens("A dog!", "char")
    ['a', ' ', 'd', 'o', 'g']
    """
    words = split_words(caption)
    return words if tokens == "word" else _character().findall(" ".join(words))


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by number; <NULL> 0, <START> 1, <END> 2, <UNK> 3. The course has words, hence the names."""

    idx_to_word: tuple[str, ...]
    tokens: Tokens = "word"

    @property
    def separator(self) -> str:
        """Return what stands between two tokens in a text."""
        return " " if self.tokens == "word" else ""

    @cached_property
    def word_to_idx(self) -> dict[str, int]:
        """Numbers by word."""
        return {word: number for number, word in enumerate(self.idx_to_word)}

    def __len__(self) -> int:
        return len(self.idx_to_word)

    def encode(self, captions: Sequence[Sequence[str]], max_length: int) -> NDArray[np.int32]:
        """Return captions of tokens as numbers (M, max_length) int32: <START>, tokens, <END>, then <NULL>.

        What is longer is cut, <END> is kept.
        """
        number = self.word_to_idx
        encoded = np.full((len(captions), max_length), NULL, dtype=np.int32)  # (M, L)
        for row, words in enumerate(captions):
            words = words[: max_length - 2]
            encoded[row, : len(words) + 2] = [START, *(number.get(word, UNK) for word in words), END]
        return encoded

    def decode(self, caption: Iterable[int]) -> str:
        """Return the text of an encoded caption: up to <END>, without <START> and <NULL>; <UNK> stays."""
        words = []
        for number in caption:
            if number == END:
                break
            if number not in (NULL, START):
                words.append(self.idx_to_word[number])
        return self.separator.join(words)

    def read(self, text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Return the tokens of a text that was made of them, and their numbers."""
        pieces = text.split() if self.tokens == "word" else _character().findall(text)
        return tuple(pieces), tuple(self.word_to_idx.get(piece, UNK) for piece in pieces)

    def to_json(self) -> dict[str, Any]:
        """Return the content of vocabulary.json: the course's, and ``tokens`` when they are not words."""
        content = {"idx_to_word": list(self.idx_to_word), "word_to_idx": self.word_to_idx}
        return content if self.tokens == "word" else {**content, "tokens": self.tokens}


def build_vocabulary(
    captions: Iterable[Sequence[str]], min_count: int, max_words: int | None, tokens: Tokens = "word"
) -> Vocabulary:
    """Return the special words, then the others, most frequent first, equally frequent ones by alphabet.

    Args:
        captions: the tokens of each training caption.
        min_count: a token that occurs less often is left out.
        max_words: the size at most, special words included; None for no limit.
        tokens: what the captions were split into.
    """
    counts = Counter(word for words in captions for word in words)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [word for word, count in ranked if count >= min_count]
    if max_words is not None:
        words = words[: max_words - len(SPECIAL_WORDS)]
    return Vocabulary((*SPECIAL_WORDS, *words), tokens)


def parse_vocabulary(content: Any, where: str) -> Vocabulary:
    """Check a vocabulary in the CS231n form.

    Args:
        content: parsed JSON, ``{"idx_to_word": [word, ...], "word_to_idx": {word: number}}``, and
            ``"tokens": "char"`` when the words are characters.
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
    tokens = content.get("tokens", "word")
    if tokens not in ("word", "char"):
        raise InputError(f"{where}: expected tokens to be word or char, received {tokens!r}")
    vocabulary = Vocabulary(tuple(words), tokens)
    if len(vocabulary.word_to_idx) != len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise InputError(f"{where}: expected every word once, received {twice!r} more than once")
    if content.get("word_to_idx") != vocabulary.word_to_idx:
        raise InputError(f"{where}: expected word_to_idx to invert idx_to_word, received other numbers")
    return vocabulary

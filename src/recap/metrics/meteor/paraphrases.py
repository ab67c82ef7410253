"""METEOR's paraphrase table: 5 million pairs of phrases, compiled once into arrays.

A phrase is known by 64 bits, the sum of a random number for each of its bytes at its place (Carter and Wegman
1979): that two of 10 million phrases share them has a chance of 3 in a million million.
"""

import contextlib
import gzip
import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.progress import track

LAYOUT = b"3"
LONGEST_PHRASE = 7
_LONGEST_BYTES = 256
_WORDS_AT_ONCE = 20_000
_LISTS_AT_HAND = 100_000
_BLOCK = 1 << 24
_MEBIBYTES = 260
"""What the table unpacks to, for the line that tells how far the compilation is."""


class Paraphrases:
    """The paraphrase table.

    Args:
        hashes: (P,) uint64, of each phrase, ascending; its place is its number.
        starts: (P + 1,) where the paraphrases that are listed with a phrase begin in ``others``.
        others: (E,) int32, numbers of phrases as they are listed.
    """

    def __init__(
        self, hashes: NDArray[np.uint64], starts: NDArray[np.int64], others: NDArray[np.int32]
    ) -> None:
        self._hashes = hashes
        self._starts = starts
        self._others = others
        self.listed = lru_cache(maxsize=_LISTS_AT_HAND)(self._look_up)

    @classmethod
    def of_pairs(cls, pairs: Sequence[tuple[str, str]]) -> "Paraphrases":
        """Return a table of the pairs given."""
        lines = "".join(f"{first}\n{second}\n" for first, second in pairs).encode()
        return cls(*_table(_hash_lines(np.frombuffer(lines, np.uint8))))

    def find(self, texts: Sequence[Sequence[str]]) -> list[list[tuple[int, int, int]]]:
        """Start, length and number of each phrase of each text, as words, that the table has."""
        found: list[list[tuple[int, int, int]]] = [[] for _ in texts]
        words = [word.encode() for text in texts for word in text]
        if not words:
            return found
        text_of = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        first = np.searchsorted(text_of, np.arange(len(texts)))  # word of each text
        lengths = np.array([len(word) + 1 for word in words])
        ends = np.cumsum(lengths)
        starts = ends - lengths
        own = np.repeat(np.arange(len(words)), LONGEST_PHRASE)
        last = own + np.tile(np.arange(LONGEST_PHRASE), len(words))
        inside = last < len(words)
        own, last = own[inside], last[inside]
        size = ends[last] - starts[own] - 1  # bytes of the phrase
        fits = (text_of[own] == text_of[last]) & (size <= _LONGEST_BYTES)
        own, last, size = own[fits], last[fits], size[fits]
        if not len(own):
            return found
        span = int(size.max())
        joined = np.frombuffer(b" ".join(words) + bytes(span + 1), np.uint8)
        places = np.arange(span)
        hashes = np.empty(len(own), np.uint64)
        for start in range(0, len(words), _WORDS_AT_ONCE):
            block = slice(start, start + _WORDS_AT_ONCE)
            sums = np.cumsum(_numbers()[places, joined[starts[block, None] + places]], axis=1)
            part = slice(*np.searchsorted(own, (block.start, block.stop)))
            hashes[part] = sums[own[part] - start, size[part] - 1]
        order = np.argsort(hashes)  # the search finds neighbours faster
        numbers = np.empty(len(hashes), np.int64)
        numbers[order] = np.searchsorted(self._hashes, hashes[order])
        numbers[numbers == len(self._hashes)] = 0
        known = self._hashes[numbers] == hashes
        own, last, numbers = own[known], last[known], numbers[known]
        columns = text_of[own], own - first[text_of[own]], last - own + 1, numbers
        for text, start, length, number in zip(*(column.tolist() for column in columns), strict=True):
            found[text].append((start, length, number))
        return found

    def _look_up(self, number: int) -> dict[int, int]:
        """Return the paraphrases that are listed with a phrase, each with its place in the list."""
        others = self._others[self._starts[number] : self._starts[number + 1]].tolist()
        return {other: place for place, other in enumerate(others)}


def load(source: Path, cache: Path) -> Paraphrases:
    """Read a table, after compiling it into the folder of caches where that was not done.

    The name of the compiled file holds the digest of what it was made of, so it is never stale.
    """
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(LAYOUT)
    path = cache / f"meteor-paraphrases-{digest.hexdigest()[:16]}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Paraphrases(arrays["hashes"], arrays["starts"], arrays["others"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # absent or damaged
        print(f"METEOR's paraphrases: compiled once for all runs, into {path}", file=sys.stderr, flush=True)
        hashes, starts, others = _compile(source)
    with contextlib.suppress(OSError):  # it is compiled again next time
        _write(path, hashes=hashes, starts=starts, others=others)
    return Paraphrases(hashes, starts, others)


@lru_cache(maxsize=1)
def _numbers() -> NDArray[np.uint64]:
    """Draw a random number for each place and byte."""
    digest = hashlib.shake_256(b"recap").digest(_LONGEST_BYTES * 256 * 8)
    return np.frombuffer(digest, "<u8").reshape(_LONGEST_BYTES, 256).astype(np.uint64)


def _hash_lines(text: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the hash of each line; each ends with a line end."""
    ends = np.flatnonzero(text == ord("\n"))
    lengths = np.diff(ends, prepend=-1)
    starts = ends + 1 - lengths
    places = np.arange(len(text), dtype=np.int32) - np.repeat(starts.astype(np.int32), lengths)
    values = _numbers()[places, text]
    values[ends] = 0
    return np.add.reduceat(values, starts) if len(starts) else np.empty(0, np.uint64)


def _table(
    hashes: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32]]:
    """From hashes of pairs, one after the other, what ``Paraphrases`` takes."""
    different, numbers = np.unique(hashes, return_inverse=True)
    first, second = numbers[::2], numbers[1::2].astype(np.int32)
    order = np.argsort(first, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=len(different)))])
    return different, starts, second[order]


def _compile(source: Path) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int32]]:
    kept = []
    with gzip.open(source) as file:
        line = 0
        for block in track(_blocks(file), "METEOR's paraphrases, once", _MEBIBYTES * (1 << 20) // _BLOCK):
            hashes = _hash_lines(np.frombuffer(block, np.uint8))
            phrases = (np.arange(line, line + len(hashes)) % 3) != 0  # every third line is a probability
            kept.append(hashes[phrases])
            line += len(hashes)
    print("METEOR's paraphrases: sorting", file=sys.stderr, flush=True)
    return _table(np.concatenate(kept))


def _write(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays into a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _blocks(file: gzip.GzipFile) -> Iterator[bytes]:
    """Yield the text in blocks of whole lines."""
    rest = b""
    while block := file.read(_BLOCK):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block

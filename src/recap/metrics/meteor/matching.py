"""Finds what of a caption may match what of a reference: by word, by stem, by synonym, by paraphrase."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recap.metrics.meteor.normalization import normalize
from recap.metrics.meteor.stemming import stem
from recap.metrics.meteor.tables import Tables

EXACT, STEM, SYNONYM, PARAPHRASE = range(4)
_WORDS_AT_ONCE = 20_000
"""Of captions whose phrases are looked up together."""


class Match(NamedTuple):
    """A phrase of a caption that means a phrase of a reference; places count words from 0."""

    start: int
    length: int
    reference_start: int
    reference_length: int
    stage: int


@dataclass(frozen=True)
class Sentence:
    """A caption and what matchers look at.

    Attributes:
        words: its words.
        stems: theirs.
        synonyms: the sets of synonyms that each is in.
        sets: the sets of synonyms that any is in.
        phrases: start, length and number of each phrase of it that the paraphrase table knows.
        function: whether each word is a function word.
    """

    words: tuple[str, ...]
    stems: tuple[str, ...]
    synonyms: tuple[frozenset[int], ...]
    sets: frozenset[int]
    phrases: tuple[tuple[int, int, int], ...]
    function: tuple[bool, ...]


class Matcher:
    """Finds matches with the tables given."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def prepare(self, captions: Iterable[str]) -> Iterator[Sentence]:
        """Look up the words and phrases of captions, in batches: many at once are faster."""
        for texts in _batches(map(normalize, captions)):
            for words, phrases in zip(texts, self._tables.paraphrases.find(texts), strict=True):
                synonyms = tuple(self._tables.synonyms.of(word) for word in words)
                yield Sentence(
                    words=words,
                    stems=tuple(stem(word) for word in words),
                    synonyms=synonyms,
                    sets=frozenset().union(*synonyms),
                    phrases=tuple(phrases),
                    function=tuple(word in self._tables.function_words for word in words),
                )

    def match(self, caption: Sentence, reference: Sentence) -> list[Match]:
        """Return all matches by stage; a pair of words counts once a stage, and equal words only as such."""
        exact, stems, synonyms = [], [], []
        others = list(zip(reference.words, reference.stems, reference.synonyms, strict=True))
        for start, word in enumerate(caption.words):
            own_stem, own_sets = caption.stems[start], caption.synonyms[start]
            if own_stem not in reference.stems and own_sets.isdisjoint(reference.sets):
                continue
            for place, (other, other_stem, other_sets) in enumerate(others):
                if word == other:
                    exact.append(Match(start, 1, place, 1, EXACT))
                    continue
                if own_stem == other_stem:
                    stems.append(Match(start, 1, place, 1, STEM))
                if not own_sets.isdisjoint(other_sets):
                    synonyms.append(Match(start, 1, place, 1, SYNONYM))
        return exact + stems + synonyms + self._paraphrases(caption, reference)

    def _paraphrases(self, caption: Sentence, reference: Sentence) -> list[Match]:
        """First what is listed with the reference's phrase first, then with the caption's; as listed."""
        found = [
            Match(start, length, place, size, PARAPHRASE)
            for place, size, start, length in self._listed(reference.phrases, caption.phrases)
        ]
        found += [Match(*pair, PARAPHRASE) for pair in self._listed(caption.phrases, reference.phrases)]
        return found

    def _listed(
        self, phrases: Sequence[tuple[int, int, int]], others: Sequence[tuple[int, int, int]]
    ) -> Iterator[tuple[int, int, int, int]]:
        """Start and length of a phrase, and of each of the others that is listed as its paraphrase."""
        places: dict[int, list[tuple[int, int]]] = {}
        for start, length, number in others:
            places.setdefault(number, []).append((start, length))
        for start, length, number in phrases:
            listed = self._tables.paraphrases.listed(number)
            for other in sorted(places.keys() & listed.keys(), key=listed.__getitem__):
                for place, size in places[other]:
                    yield start, length, place, size


def _batches(texts: Iterable[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
    batch: list[tuple[str, ...]] = []
    words = 0
    for text in texts:
        batch.append(text)
        words += len(text) + 1
        if words >= _WORDS_AT_ONCE:
            yield batch
            batch, words = [], 0
    yield batch

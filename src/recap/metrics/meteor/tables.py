"""The tables of METEOR 1.5 for English, taken from the package pycocoevalcap."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import pycocoevalcap

from recap.metrics.meteor import paraphrases
from recap.metrics.meteor.paraphrases import Paraphrases

FOLDER = Path(pycocoevalcap.__path__[0]) / "meteor"
JAR = FOLDER / "meteor-1.5.jar"
PARAPHRASES = FOLDER / "data" / "paraphrase-en.gz"


_ENDINGS = (
    *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man")),
    *(("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    *(("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
)
"""How WordNet takes endings off nouns, verbs and adjectives, in this order; the first known word counts."""


class Synonyms:
    """WordNet's sets of synonyms.

    Args:
        sets: of each base form, the numbers of its sets, with spaces between.
        bases: of each irregular form, its base forms.
    """

    def __init__(self, sets: Mapping[str, str], bases: Mapping[str, tuple[str, ...]]) -> None:
        self._sets = sets
        self._bases = bases
        self.of = cache(self._of)

    def _of(self, word: str) -> frozenset[int]:
        """Return the numbers of the sets that a word is in, as it is or by its base form."""
        return frozenset(
            int(number) for form in (word, *self._forms(word)) for number in self._sets.get(form, "").split()
        )

    def _forms(self, word: str) -> tuple[str, ...]:
        if word in self._bases:
            return self._bases[word]
        if len(word) <= 2 or word.endswith("ss"):
            return ()
        for ending, replacement in _ENDINGS:
            base = word.removesuffix(ending) + replacement
            if word.endswith(ending) and base in self._sets:
                return (base,)
        return ()


@dataclass(frozen=True)
class Tables:
    """All that METEOR knows of English."""

    function_words: frozenset[str]
    synonyms: Synonyms
    paraphrases: Paraphrases


@lru_cache(maxsize=1)
def load_tables(folder: Path) -> Tables:
    """Read the tables, compiling the paraphrases first where that was not done."""
    with zipfile.ZipFile(JAR) as jar:
        function_words = frozenset(_lines(jar, "function/english.words"))
        sets = dict(_pairs(_lines(jar, "synonym/english.synsets")))
        bases: dict[str, tuple[str, ...]] = {}
        for base, forms in _pairs(_lines(jar, "synonym/english.exceptions")):
            for form in forms.split():
                bases[form] = (*bases.get(form, ()), base)
    return Tables(function_words, Synonyms(sets, bases), paraphrases.load(PARAPHRASES, folder))


def _lines(jar: zipfile.ZipFile, name: str) -> list[str]:
    return jar.read(name).decode("utf-8").split("\n")[:-1]


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    return zip(lines[::2], lines[1::2], strict=True)

"""The tables of METEOR 1.5 for English, taken from the package pycocoevalcap."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pycocoevalcap

from recap.metrics.meteor import paraphrases
from recap.metrics.meteor.paraphrases import Paraphrases
from recap.metrics.meteor.synonyms import Synonyms

FOLDER = Path(pycocoevalcap.__path__[0]) / "meteor"
JAR = FOLDER / "meteor-1.5.jar"
PARAPHRASES = FOLDER / "data" / "paraphrase-en.gz"


@dataclass(frozen=True)
class Tables:
    """All that METEOR knows of English."""

    function_words: frozenset[str]
    synonyms: Synonyms
    paraphrases: Paraphrases


@lru_cache(maxsize=1)
def load_tables(cache: Path) -> Tables:
    """Read the tables, compiling the paraphrases first where that was not done."""
    with zipfile.ZipFile(JAR) as jar:
        function_words = frozenset(_lines(jar, "function/english.words"))
        sets = dict(_pairs(_lines(jar, "synonym/english.synsets")))
        bases: dict[str, tuple[str, ...]] = {}
        for base, forms in _pairs(_lines(jar, "synonym/english.exceptions")):
            for form in forms.split():
                bases[form] = (*bases.get(form, ()), base)
    return Tables(function_words, Synonyms(sets, bases), paraphrases.load(PARAPHRASES, cache))


def _lines(jar: zipfile.ZipFile, name: str) -> list[str]:
    return jar.read(name).decode("utf-8").split("\n")[:-1]


def _pairs(lines: list[str]) -> Iterator[tuple[str, str]]:
    return zip(lines[::2], lines[1::2], strict=True)

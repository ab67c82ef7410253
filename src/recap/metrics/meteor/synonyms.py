"""Which words WordNet has in one set of synonyms, found from any of their forms."""

from collections.abc import Mapping
from functools import cache

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
        """The numbers of the sets that a word is in, as it is or by its base form."""
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

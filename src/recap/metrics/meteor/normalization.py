"""Splits a caption into words as METEOR's -norm does: lower case, signs and hyphened words taken apart.

The rules are those of the tokenizers of statistical machine translation; their details were observed from
METEOR's answers. A rule that looks at a sign's neighbours consumes them: of a-b-c only the first hyphen goes.
"""

import re
from functools import lru_cache

_LETTER = "a-zA-ZÀ-ÖØ-öø-ž\u0400-\u04ff"
_SIGNS_ALIKE = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "`": "'"})
_SPACE = "\t\n\v\f\r "
_WIDE_SPACES = frozenset(
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
"""They are signs to the rules, and no words."""
_SPACES = re.compile(f"[{_SPACE}]+")
_RULES = (
    (re.compile(rf"([^{_LETTER}0-9{_SPACE}.'`,\-])"), r" \1 "),
    (re.compile("–"), "-"),
    (re.compile(r"(\.{2,})"), r" \1 "),
    (re.compile("([^0-9]),([^0-9])"), r"\1 , \2"),
    (re.compile("([0-9]),([^0-9])"), r"\1 , \2"),
    (re.compile("([^0-9]),([0-9])"), r"\1 , \2"),
    (re.compile("--"), "-"),
    (re.compile(rf"([{_LETTER}0-9.])-([{_LETTER}0-9])"), r"\1 \2"),
    (re.compile("''"), ' " '),
    (re.compile(rf"([^{_LETTER}])'([^{_LETTER}])"), r"\1 ' \2"),
    (re.compile(rf"([^{_LETTER}0-9])'([{_LETTER}])"), r"\1 ' \2"),
    (re.compile(rf"([{_LETTER}])'([^{_LETTER}])"), r"\1 ' \2"),
    (re.compile(rf"([{_LETTER}])'([{_LETTER}])"), r"\1 '\2"),
    (re.compile("([0-9])'s"), r"\1 's"),
)
_ABBREVIATION = re.compile(rf".*[{_LETTER}]")
_KEEPS_PERIOD = frozenset(
    [
        *"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        *("Adj", "Adm", "Adv", "Asst", "Bart", "Bldg", "Brig", "Bros", "Capt", "Cmdr", "Col"),
        *("Comdr", "Con", "Corp", "Cpl", "DR", "Dr", "Drs", "Ens", "Gen", "Gov", "Hon"),
        *("Hr", "Hosp", "Insp", "Lt", "MM", "MR", "MRS", "MS", "Maj", "Messrs", "Mlle"),
        *("Mme", "Mr", "Mrs", "Ms", "Msgr", "Op", "Ord", "Pfc", "Ph", "Prof", "Pvt"),
        *("Rep", "Reps", "Res", "Rev", "Rt", "Sen", "Sens", "Sfc", "Sgt", "Sr", "St"),
        *("Supt", "Surg", "v", "vs", "i.e", "rev", "e.g", "Nos", "Nr"),
    ]
)
_KEEPS_PERIOD_BEFORE_NUMBER = frozenset({"No", "Art", "pp"})


@lru_cache(maxsize=100_000)
def normalize(caption: str) -> tuple[str, ...]:
    """Return the words of a caption as METEOR sees them."""
    text = f" {caption.translate(_SIGNS_ALIKE)} "
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    words = [word for word in _SPACES.split(text) if word]
    result: list[str] = []
    for place, word in enumerate(words):
        if word[-1] == "." and word.strip("."):
            result += _end(word, words[place + 1] if place + 1 < len(words) else "")
        elif word not in _WIDE_SPACES:
            result.append(word)
    return tuple(word.lower() for word in result)


def _end(word: str, following: str) -> list[str]:
    """Split a word with a period at its end: an abbreviation, or the end of a sentence."""
    stem = word[:-1]
    if "." in stem and _ABBREVIATION.match(stem):
        return [word.replace(".", "")]
    keeps = stem in _KEEPS_PERIOD or "a" <= following[:1] <= "z"
    if keeps or (stem in _KEEPS_PERIOD_BEFORE_NUMBER and "0" <= following[:1] <= "9"):
        return [word]
    return [stem, "."]

"""The English stemmer of Snowball ("Porter2") as it was in 2015, before its later lists of exceptions.

The algorithm is Martin Porter's, as snowballstem.org describes it. Regions R1 and R2 begin after the first
consonant that follows a vowel, and after the second such consonant.
"""

import re
from functools import lru_cache

_VOWELS = "aeiouy"
_REGION = re.compile(rf"[{_VOWELS}][^{_VOWELS}]")
_PREFIX = re.compile("gener|commun|arsen")
_SHORT_END = re.compile(rf"(?:.*[^{_VOWELS}][{_VOWELS}][^{_VOWELS}wxY]|[{_VOWELS}][^{_VOWELS}])$", re.DOTALL)
_HAS_VOWEL = re.compile(f"[{_VOWELS}]")
_DOUBLES = ("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt")
_WHOLE = {
    **{"skis": "ski", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "idly": "idl"},
    **{"gently": "gentl", "ugly": "ugli", "early": "earli", "only": "onli", "singly": "singl"},
    **{word: word for word in ("sky", "news", "howe", "atlas", "cosmos", "bias", "andes")},
}
_AFTER_PLURAL = {"inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed"}
_STEP_2 = {
    **{"tional": "tion", "enci": "ence", "anci": "ance", "abli": "able", "entli": "ent", "izer": "ize"},
    **{"ization": "ize", "ational": "ate", "ation": "ate", "ator": "ate", "alism": "al", "aliti": "al"},
    **{"alli": "al", "fulness": "ful", "ousli": "ous", "ousness": "ous", "iveness": "ive", "iviti": "ive"},
    **{"biliti": "ble", "bli": "ble", "ogi": "og", "fulli": "ful", "lessli": "less", "li": ""},
}
_STEP_3 = {
    **{"tional": "tion", "ational": "ate", "alize": "al", "icate": "ic", "iciti": "ic", "ical": "ic"},
    **{"ful": "", "ness": "", "ative": ""},
}
_STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ism", "ate", "iti"),
    *("ous", "ive", "ize", "ion"),
)
_BEFORE_LI = "cdeghkmnrt"


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Return the stem of a lowercase word."""
    if len(word) <= 2:
        return word
    if word in _WHOLE:
        return _WHOLE[word]
    if word[0] == "'":
        word = word[1:]
    word = _mark_consonant_y(word)
    first, second = _regions(word)
    word = _plurals(word)
    if word in _AFTER_PLURAL:
        return word
    word = _past_and_gerund(word, first)
    if len(word) > 2 and word[-1] in "yY" and word[-2] not in _VOWELS:
        word = f"{word[:-1]}i"
    word = _derivations(word, first, _STEP_2, second)
    word = _derivations(word, first, _STEP_3, second)
    word = _residue(word, second)
    return _final(word, first, second).replace("Y", "y")


def _mark_consonant_y(word: str) -> str:
    letters = list(word)
    for place, letter in enumerate(letters):
        if letter == "y" and (place == 0 or letters[place - 1] in _VOWELS):
            letters[place] = "Y"
    return "".join(letters)


def _regions(word: str) -> tuple[int, int]:
    prefix = _PREFIX.match(word)
    if prefix:
        first = prefix.end()
    else:
        found = _REGION.search(word)
        first = found.end() if found else len(word)
    found = _REGION.search(word, first)
    return first, found.end() if found else len(word)


def _longest(word: str, endings: tuple[str, ...] | dict[str, str]) -> str:
    return max((ending for ending in endings if word.endswith(ending)), key=len, default="")


def _plurals(word: str) -> str:
    ending = _longest(word, ("'s'", "'s", "'"))
    word = word[: len(word) - len(ending)]
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and _HAS_VOWEL.search(word[:-2]):
        return word[:-1]
    return word


def _past_and_gerund(word: str, first: int) -> str:
    ending = _longest(word, ("eed", "eedly", "ed", "edly", "ing", "ingly"))
    if not ending:
        return word
    rest = word[: len(word) - len(ending)]
    if ending in ("eed", "eedly"):
        return f"{rest}ee" if len(rest) >= first else word
    if not _HAS_VOWEL.search(rest):
        return word
    if rest.endswith(("at", "bl", "iz")):
        return f"{rest}e"
    if rest.endswith(_DOUBLES):
        return rest[:-1]
    if len(rest) <= first and _SHORT_END.match(rest):
        return f"{rest}e"
    return rest


def _derivations(word: str, first: int, replacements: dict[str, str], second: int) -> str:
    ending = _longest(word, replacements)
    rest = word[: len(word) - len(ending)]
    if not ending or len(rest) < first:
        return word
    if (ending == "ogi" and not rest.endswith("l")) or (ending == "li" and rest[-1] not in _BEFORE_LI):
        return word
    if ending == "ative" and len(rest) < second:
        return word
    return rest + replacements[ending]


def _residue(word: str, second: int) -> str:
    ending = _longest(word, _STEP_4)
    rest = word[: len(word) - len(ending)]
    if not ending or len(rest) < second or (ending == "ion" and not rest.endswith(("s", "t"))):
        return word
    return rest


def _final(word: str, first: int, second: int) -> str:
    rest = word[:-1]
    if word.endswith("e") and (len(rest) >= second or (len(rest) >= first and not _SHORT_END.match(rest))):
        return rest
    if word.endswith("l") and len(rest) >= second and rest.endswith("l"):
        return rest
    return word

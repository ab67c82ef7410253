"""The grammar of scene captions: its words, the sentences it writes, and the pattern that reads them.

A caption is [opening] mention [place] [(relation | and) mention [place]] [ground], for example
"There is a small red seven to the left of a large 3 on a striped background."
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from numpy.random import Generator

from recap.sources.scenes.graphs import Scene, SceneObject, relation_holds

Phrases = dict[str, tuple[str, ...]]

COLOURS: Phrases = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
}
SIZES: Phrases = {"small": ("small", "tiny", "little"), "large": ("large", "big", "huge")}
DIGITS: Phrases = {
    str(digit): (word, str(digit))
    for digit, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    )
}
POSITIONS: Phrases = {
    "top left": ("in the top left corner", "in the upper left corner"),
    "top": ("at the top", "near the top"),
    "top right": ("in the top right corner", "in the upper right corner"),
    "left": ("on the left", "on the left side"),
    "center": ("in the middle", "in the center"),
    "right": ("on the right", "on the right side"),
    "bottom left": ("in the bottom left corner", "in the lower left corner"),
    "bottom": ("at the bottom", "near the bottom"),
    "bottom right": ("in the bottom right corner", "in the lower right corner"),
}
RELATIONS: Phrases = {
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
BACKGROUNDS: Phrases = {
    "white": ("white",),
    "gray": ("gray", "grey"),
    "black": ("black",),
    "striped": ("striped",),
    "dotted": ("dotted", "spotted"),
    "checkered": ("checkered", "checked"),
}
COUNTS: Phrases = {"1": ("one digit", "a single digit"), "2": ("two digits", "a pair of digits")}
GROUNDS = ("background", "backdrop")
PICTURES = ("picture", "image")

RARE_WORDS = {
    "red": "crimson scarlet ruby cherry vermilion brick",
    "orange": "tangerine apricot amber pumpkin carrot ginger",
    "yellow": "golden lemon mustard saffron canary honey",
    "green": "emerald jade olive lime mint mossy",
    "blue": "azure cobalt navy sapphire indigo cerulean",
    "purple": "lavender plum mauve amethyst lilac grape",
    "pink": "rose magenta fuchsia salmon blush flamingo",
    "small": "miniature petite minuscule teensy wee diminutive",
    "large": "gigantic enormous massive giant oversized colossal",
    "background": "canvas surface wallpaper field sheet page",
    "picture": "drawing sketch snapshot panel view illustration",
    "handwritten": "scribbled inked penned handmade brushed doodled",
}
"""Common word -> words that stand in for it so seldom that a vocabulary threshold of 5 drops them."""
USES_OF_A_RARE_WORD = 4
"""At most so many captions of a split have the same rare word."""
SHARE_OF_RARE = 0.0125
"""At most this share of captions has a rare word."""
WORDS = (5, 15)
"""A caption has at least and at most so many words."""
FIRST_CHOICE = 0.6
"""How often the first of several phrases is chosen; the others share the rest."""


def write_captions(scenes: Sequence[Scene], per_scene: int, generator: Generator) -> list[list[str]]:
    """Describe each scene by ``per_scene`` different true sentences of 5 to 15 words."""
    captions: list[list[str]] = []
    for scene in scenes:
        described: list[list[str]] = []
        while len(described) < per_scene:
            words = _describe(scene, generator).split()
            if WORDS[0] <= len(words) <= WORDS[1] and words not in described:
                described.append(words)
        captions += described
    _place_rare_words(captions, generator)
    sentences = [_sentence(words) for words in captions]
    return [sentences[i : i + per_scene] for i in range(0, len(sentences), per_scene)]


def _describe(scene: Scene, generator: Generator) -> str:
    """Draw a caption before its rare words, its articles and its punctuation."""

    def chance(share: float) -> bool:
        return generator.random() < share

    def choose(phrases: Sequence[str]) -> str:
        if len(phrases) == 1 or chance(FIRST_CHOICE):
            return phrases[0]
        return phrases[int(generator.integers(1, len(phrases)))]

    def mention(object_: SceneObject) -> str:
        size = f"{choose(SIZES[object_.size])} " if chance(0.65) else ""
        manner = "handwritten " if chance(0.06) else ""
        colour, digit = choose(COLOURS[object_.colour]), choose(DIGITS[str(object_.digit)])
        if chance(0.08):
            return f"a {size}{manner}number {digit} in {colour}"
        return f"a {size}{manner}{colour} {digit}"

    ground = f"a {choose(BACKGROUNDS[scene.background])} {choose(GROUNDS)}"
    count = choose(COUNTS[str(len(scene.objects))])
    opening, ending = "", f" on {ground}" if chance(0.6) else ""
    if chance(0.25):
        openings = (f"a {choose(PICTURES)} of ", "there is ", f"{count}: ")
        opening = openings[generator.integers(len(openings))]
    elif chance(0.1):
        opening, ending = f"{ground} with ", ""

    if len(scene.objects) == 1:
        place = f" {choose(POSITIONS[scene.arrangement])}" if chance(0.75) else ""
        return f"{opening}{mention(scene.objects[0])}{place}{ending}"
    order = (0, 1) if chance(0.75) else (1, 0)
    one, other = (scene.objects[i] for i in order)
    if chance(0.7):
        relation = next(name for name in RELATIONS if relation_holds(name, one, other))
        return f"{opening}{mention(one)} {choose(RELATIONS[relation])} {mention(other)}{ending}"
    places = ["", ""]
    if chance(0.6):
        sides = ("left", "right") if scene.arrangement == "side by side" else ("top", "bottom")
        places = [f" {choose(POSITIONS[sides[i]])}" for i in order]
    return f"{opening}{mention(one)}{places[0]} and {mention(other)}{places[1]}{ending}"


def _place_rare_words(captions: list[list[str]], generator: Generator) -> None:
    """Replace a common word in some captions, one each, by a rare one."""
    rare = [(word, rare) for word, group in RARE_WORDS.items() for rare in group.split()]
    deals = rare * USES_OF_A_RARE_WORD
    count = min(len(deals), round(len(captions) * SHARE_OF_RARE))
    waiting = [deals[i] for i in generator.permutation(len(deals))[:count]]
    for i in generator.permutation(len(captions)):
        deal = next((deal for deal in waiting if deal[0] in captions[i]), None)
        if deal is not None:
            captions[i][captions[i].index(deal[0])] = deal[1]
            waiting.remove(deal)
        if not waiting:
            return


def _sentence(words: Sequence[str]) -> str:
    text = re.sub(r"\ba (?=[aeiou8])(?!one\b)", "an ", " ".join(words))
    return f"{text[0].upper()}{text[1:]}."


@dataclass(frozen=True)
class Statement:
    """Something that a caption says: ``kind`` (digit, colour, size, position, relation, count, background),
    its ``value``, and which mention it is about: 0, 1, or None for the whole scene. A relation is mention 0's
    to mention 1."""

    kind: str
    value: str
    mention: int | None


def read_caption(caption: str) -> list[Statement] | None:
    """Return the claims that a caption makes, or None when it is no sentence of the grammar.

    Case, punctuation and the choice of article do not matter; rare words are understood.
    """
    match = _PATTERN.fullmatch(" ".join(re.findall(r"[a-z0-9]+", caption.lower())))
    if match is None:
        return None
    statements = []
    for name, phrase in match.groupdict().items():
        if phrase is not None:
            kind, _, mention = name.partition("_")
            value = _VALUES[kind][phrase]
            statements.append(Statement(kind, value, int(mention[0]) if mention[:1].isdigit() else None))
    return statements


_KINDS = {
    "digit": DIGITS,
    "colour": COLOURS,
    "size": SIZES,
    "position": POSITIONS,
    "relation": RELATIONS,
    "count": COUNTS,
    "background": BACKGROUNDS,
}


def _with_rare(phrases: Sequence[str]) -> list[str]:
    return [*phrases, *chain.from_iterable(RARE_WORDS.get(phrase, "").split() for phrase in phrases)]


_VALUES = {
    kind: {phrase: value for value, phrases in values.items() for phrase in _with_rare(phrases)}
    for kind, values in _KINDS.items()
}


def _any(phrases: Iterable[str]) -> str:
    """Return a pattern for any of the phrases, the longest first."""
    return "(?:" + "|".join(sorted(phrases, key=lambda phrase: (-len(phrase), phrase))) + ")"


def _claim(kind: str, suffix: str) -> str:
    return f"(?P<{kind}_{suffix}>{_any(_VALUES[kind])})"


def _mention(number: int) -> str:
    manner = _any(_with_rare(["handwritten"]))
    return (
        f"an? (?:{_claim('size', f'{number}')} )?(?:{manner} )?"
        f"(?:(?:{_claim('colour', f'{number}a')} )?{_claim('digit', f'{number}a')}"
        f"|number {_claim('digit', f'{number}b')} in {_claim('colour', f'{number}b')})"
        f"(?: {_claim('position', f'{number}')})?"
    )


def _ground(suffix: str) -> str:
    return f"an? {_claim('background', suffix)} {_any(_with_rare(GROUNDS))}"


_PATTERN = re.compile(
    f"(?:(?:an? {_any(_with_rare(PICTURES))} of|there is|{_claim('count', '')}|{_ground('opening')} with) )?"
    f"{_mention(0)}(?: (?:{_claim('relation', '')}|and) {_mention(1)})?(?: on {_ground('ending')})?"
)

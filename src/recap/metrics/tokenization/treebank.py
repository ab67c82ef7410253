"""Tokenizes captions as COCO's official code does: Penn Treebank tokens, lowercase, no punctuation."""

import re
from collections.abc import Iterable, Iterator

from recap.metrics.tokenization.treebank_rules import BEFORE_LIMITED, BEFORE_NUMBERS, DIGIT, RULES, SPACE
from recap.progress import track

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""What the official code removes; brackets stay, because by then they are lowercase."""

BEFORE_A_NUMBER = f"[){DIGIT[1:-1]}]"
PLAIN = re.compile(
    rf"[^\s<.]{{1,100}}+(?=[ \n])(?!(?<={BEFORE_A_NUMBER}) {DIGIT})"
    rf"|(?:(?!(?:{BEFORE_NUMBERS}|{BEFORE_LIMITED})\.)[A-Za-z]{{2,}}+)?\.(?=[ \n](?!\.))"
)
"""Text up to a space whose tokens depend on nothing that follows, so that they need to be found only once.

What reaches over a space is markup, which begins with "<", or a telephone number or a fraction, or has a full
stop before the space.
"""

OVER_A_SPACE = re.compile(rf"\. \.|{BEFORE_A_NUMBER} {DIGIT}")
"""Where tokens of plain text may depend on what follows after all."""

GAP = re.compile(f"[ \t]{SPACE}*")
LINE_ENDS = re.compile("[\n\r\x0b\x0c\u2028\u2029]")


def tokenize(captions: Iterable[str]) -> list[str]:
    """Tokenize captions; each becomes its words with one space between them.

    The official tokenizer reads all captions as one text, a line each, and looks over the line's end at few
    places: "Avenue K." is "avenue k" before a caption that begins with "A" and "avenue k." before one with
    "Two". So does this function: give it the captions in one call, in the order of the official evaluation.
    """
    lines = [LINE_ENDS.sub(" ", caption) for caption in captions]
    text = "\n".join([*lines, ""])
    known: dict[str, str] = {}
    hopeless = [0] * len(RULES)
    tokenized = []
    start = place = 0
    over: list[str] = []  # of a quoted attribute that goes over line ends: what belongs to the next lines
    for line in track(lines, "tokenizing"):
        words: list[str | None] = [known.get(chunk) for chunk in line.split(" ")]
        if place > start or None in words or OVER_A_SPACE.search(line):
            end = start + len(line.rstrip(" \t"))
            found, place = _words(text, max(start, place), end, known, hopeless)
            words, over = [*over[:1], *found], over[1:]
            if found and "\n" in found[-1]:
                parts = [part.rstrip() for part in found[-1].split("\n")]
                words[-1], *over = ["" if part in PUNCTUATION else part for part in parts]
        tokenized.append(" ".join([word for word in words if word]))
        start += len(line) + 1
    return tokenized


def _words(
    text: str, place: int, end: int, known: dict[str, str], hopeless: list[int]
) -> tuple[list[str], int]:
    """Return the words from a place up to a line's end, and where they end; plain text uses ``known``."""
    words: list[str] = []
    while place < end:
        if gap := GAP.match(text, place, end):
            place = gap.end()
        elif plain := PLAIN.match(text, place):
            chunk = plain[0]
            if chunk not in known:
                known[chunk] = " ".join(_tokens(text, place, plain.end(), hopeless))
            words.append(known[chunk])
            place = plain.end()
        else:
            place, word = _token(text, place, hopeless)
            # The official code strips the line, and with it spaces of other kinds inside the last token.
            words.append(word if place < end else word.rstrip())
    return words, place


def _tokens(text: str, start: int, end: int, hopeless: list[int]) -> Iterator[str]:
    while start < end:
        start, word = _token(text, start, hopeless)
        if word:
            yield word


def _token(text: str, start: int, hopeless: list[int]) -> tuple[int, str]:
    """Return where the token at a place ends, and what is written for it: nothing for punctuation.

    ``hopeless`` says of each rule up to which place it is known to find nothing.
    """
    longest = start
    found = None
    for number, (pattern, write, in_vain) in enumerate(RULES):
        if in_vain is not None and start < hopeless[number]:
            continue
        match = pattern.match(text, start)
        if match is not None:
            if match.end() > longest:
                longest, found = match.end(), (match.end(1), write)
        elif in_vain is not None and (passed := in_vain.match(text, start)):
            hopeless[number] = passed.end()
    if found is None:
        return start + 1, ""
    end, write = found
    word = write(text[start:end]).lower()
    return end, "" if word in PUNCTUATION else word

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
    tokenized = []
    start = 0
    for line in track(lines, "tokenizing"):
        words = [known.get(chunk) for chunk in line.split(" ")]
        if None in words or OVER_A_SPACE.search(line):
            words = _words(text, start, start + len(line.rstrip(" \t")), known)
        tokenized.append(" ".join([word for word in words if word]))
        start += len(line) + 1
    return tokenized


def _words(text: str, start: int, end: int, known: dict[str, str]) -> list[str | None]:
    """The words of one line of a text; those of plain text are added to ``known``."""
    words: list[str | None] = []
    place = start
    while place < end:
        if gap := GAP.match(text, place, end):
            place = gap.end()
        elif plain := PLAIN.match(text, place):
            chunk = plain[0]
            if chunk not in known:
                known[chunk] = " ".join(_tokens(text, place, plain.end()))
            words.append(known[chunk])
            place = plain.end()
        else:
            place, word = _token(text, place)
            # The official code strips the line, and with it spaces of other kinds inside the last token.
            words.append(word if place < end else word.rstrip())
    return words


def _tokens(text: str, start: int, end: int) -> Iterator[str]:
    while start < end:
        start, word = _token(text, start)
        if word:
            yield word


def _token(text: str, start: int) -> tuple[int, str]:
    """Return where the token at a place ends, and what is written for it: nothing for punctuation."""
    longest = start
    found = None
    for rule in RULES:
        match = rule.pattern.match(text, start)
        if match is not None and match.end() > longest:
            longest, found = match.end(), (match.end(1), rule.write)
    if found is None:
        return start + 1, ""
    end, write = found
    word = write(text[start:end]).lower()
    return end, "" if word in PUNCTUATION else word

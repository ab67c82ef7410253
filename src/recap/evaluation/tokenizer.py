"""Tokenizes captions as COCO's official code does: Penn Treebank tokens, lowercase, no punctuation."""

import re
from collections.abc import Iterable

TOKEN = re.compile(r"[A-Za-z0-9]+(?:[-'][A-Za-z0-9]+)*|\S")
PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)


def tokenize(captions: Iterable[str]) -> list[str]:
    """Tokenize captions; each becomes its words with one space between them."""
    return [
        " ".join(word for word in TOKEN.findall(caption.lower()) if word not in PUNCTUATION)
        for caption in captions
    ]

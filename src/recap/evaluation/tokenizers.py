"""The tokenizers by name."""

from collections.abc import Callable, Sequence
from itertools import islice

from recap.evaluation.config import TokenizerName
from recap.evaluation.tokenizer import tokenize

Tokenizer = Callable[[Sequence[str]], list[str]]
"""Captions to tokenized captions: words with one space between them."""


def tokenizer(name: TokenizerName) -> Tokenizer:
    """The tokenizer of a name.

    ptb is COCO's official tokenization in Python, stanford the same in Java; whitespace takes captions as
    tokenized. With stanford and without Java the call raises InputError.
    """
    if name == "ptb":
        return tokenize
    if name == "whitespace":
        return _split_at_whitespace
    from recap.evaluation.java import tokenize_with_stanford

    return tokenize_with_stanford


def tokenize_groups(tokenize: Tokenizer, groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Tokenize the captions of each image, all in one call as the official code does."""
    tokenized = iter(tokenize([caption for group in groups for caption in group]))
    return [list(islice(tokenized, len(group))) for group in groups]


def _split_at_whitespace(captions: Sequence[str]) -> list[str]:
    return [" ".join(caption.split()) for caption in captions]

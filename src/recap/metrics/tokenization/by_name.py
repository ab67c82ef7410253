"""The tokenizers by name."""

from collections.abc import Callable, Sequence
from itertools import islice

from recap.metrics.config import TokenizerName
from recap.metrics.tokenization.treebank import tokenize
from recap.text.vocabulary import compose

Tokenizer = Callable[[Sequence[str]], list[str]]
"""Captions to tokenized captions: words with one space between them."""


def tokenizer(name: TokenizerName) -> Tokenizer:
    """Return the tokenizer of a name.

    ptb is COCO's official tokenization in Python, stanford the same in Java; whitespace takes captions as
    tokenized. All read captions in Unicode's composed form, so that the same word is always the same
    characters. With stanford and without Java the call raises InputError.
    """
    if name == "ptb":
        chosen: Callable[[list[str]], list[str]] = tokenize
    elif name == "whitespace":
        chosen = _split_at_whitespace
    else:
        from recap.metrics.java import tokenize_with_stanford

        chosen = tokenize_with_stanford
    return lambda captions: chosen([compose(caption) for caption in captions])


def tokenize_groups(tokenize: Tokenizer, groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Tokenize the captions of each image, all in one call as the official code does."""
    tokenized = iter(tokenize([caption for group in groups for caption in group]))
    return [list(islice(tokenized, len(group))) for group in groups]


def _split_at_whitespace(captions: Sequence[str]) -> list[str]:
    return [" ".join(caption.split()) for caption in captions]

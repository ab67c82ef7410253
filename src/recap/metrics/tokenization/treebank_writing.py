"""How tokens of the Penn Treebank tokenizer are written."""

import re
from collections.abc import Callable


def as_it_is(token: str) -> str:
    return token


def without_soft_hyphens(token: str) -> str:
    return token.replace("\xad", "") or "-"


def in_one_piece(token: str) -> str:
    """Turn spaces inside a token into no-break spaces."""
    return token.replace(" ", "\xa0")


def phone(token: str) -> str:
    return brackets(in_one_piece(token))


def brackets(token: str) -> str:
    return token.replace("(", "-lrb-").replace(")", "-rrb-")


def ampersands(token: str) -> str:
    return re.sub("(?i:&amp;)", "&", token)


def opening_quote(token: str) -> str:
    token = re.sub("&apos;|'", "`", token)
    return curly_quotes(re.sub('"|&quot;', "``", token))


def closing_quote(token: str) -> str:
    token = re.sub("&apos;", "'", token)
    return curly_quotes(re.sub('"|&quot;', "''", token))


def curly_quotes(token: str) -> str:
    token = re.sub("[\x91\u2018\u201b\u2039]", "`", token)
    token = re.sub("[\x92\u2019\u203a]", "'", token)
    token = re.sub("[\x93\u201c\xab]", "``", token)
    return re.sub("[\x94\u201d\xbb]", "''", token)


def constant(text: str) -> Callable[[str], str]:
    return lambda token: text


def hyphens(token: str) -> str:
    return "--" if 3 <= len(token) <= 4 else token

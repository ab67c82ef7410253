"""Ways to spoil an input: bytes, JSON values, and the odd values that break programs."""

import copy
import json
import random
from typing import Any

TEXTS = (
    *("", " ", "\0", "\n", "a\nb", "\u202e", "é", "e\u0301", "\ud83d", "😀", "\ufeff", "लड़का", "x" * 300),
    *("..", "../../etc/passwd", "/etc/passwd", "a/b", "%s{}", "'", '"', "true", "null", "017", "1e400"),
    *("nan", "http://[x", "http://127.0.0.1:99999/x", "file:///etc/passwd", "~", "*a", "<<", "-", "--help"),
)
NUMBERS = (
    *(
        0,
        1,
        -1,
        2,
        3,
        255,
        256,
        65_536,
        2**31 - 1,
        2**31,
        2**32,
        2**53 + 1,
        2**63 - 1,
        2**63,
        2**64,
        -(2**63),
    ),
    *(10**30, 10**400, 0.5, -0.5, -0.0, 1e-300, 5e-324, 1e300, float("inf"), float("-inf"), float("nan")),
)
TOKENS = (
    *(
        b"\0",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"{",
        b"}",
        b"[",
        b"]",
        b"(",
        b"'",
        b'"',
        b",",
        b":",
        b"\n",
    ),
    *(b"NaN", b"-Infinity", b"1e999", b"null", b"true", b"\\ud83d", b"\\u0000", b"<NULL>", b"9" * 5000),
    *(b"\xed\xa0\xbd", b"[" * 2000, b'{"a":' * 2000, b"\r\n\r\n", b"-1", b"4294967296", b"../", b"\x80\x04."),
)


def odd_value(generator: random.Random) -> Any:
    """A value of any kind that JSON knows, often at an edge."""
    kind = generator.randrange(8)
    if kind == 0:
        return generator.choice((None, True, False))
    if kind in (1, 2):
        return generator.choice(NUMBERS)
    if kind in (3, 4):
        return generator.choice(TEXTS)
    if kind == 5:
        return generator.choice(([], {}, [[]], {"a": {}}, [None], [1, "a", None]))
    if kind == 6:
        return [odd_value(generator) for _ in range(generator.randrange(4))]
    value: Any = 1
    for _ in range(generator.choice((3, 30, 150))):
        value = [value] if generator.random() < 0.5 else {"a": value}
    return value


def mutate_json(value: Any, generator: random.Random) -> Any:
    """A copy with one to three of its parts deleted, doubled, renamed, swapped or replaced by odd values."""
    value = copy.deepcopy(value)
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        parents = _containers(value)
        if not parents:
            return odd_value(generator)
        parent = generator.choice(parents)
        key = generator.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        action = generator.randrange(6)
        if action == 0:
            del parent[key]
        elif action == 1 and isinstance(parent, dict):
            parent[generator.choice(TEXTS)] = parent.pop(key)
        elif action == 1:
            parent.append(parent[key])
        elif action == 2:
            other = generator.choice(parents)
            parent[key] = copy.deepcopy(other)
        elif action == 3 and isinstance(parent[key], int | float):
            parent[key] = -parent[key] if generator.random() < 0.3 else str(parent[key])
        elif action == 3 and isinstance(parent[key], str):
            parent[key] = parent[key] * generator.choice((0, 2, 100)) + generator.choice(TEXTS)
        else:
            parent[key] = odd_value(generator)
    return value


def json_bytes(value: Any) -> bytes:
    """JSON, also of what JSON forbids: half letters, infinities."""
    return json.dumps(value, ensure_ascii=True).encode()


def mutate_bytes(content: bytes, generator: random.Random) -> bytes:
    """The content with bits flipped, a piece cut, doubled, moved or overwritten, or a token put in."""
    changed = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 4))):
        place = generator.randrange(len(changed) + 1)
        length = generator.choice((1, 2, 4, 8, 64, 512))
        action = generator.randrange(8)
        if action <= 2 and changed:
            changed[place % len(changed)] ^= 1 << generator.randrange(8)
        elif action == 3:
            changed[place : place + length] = generator.randbytes(length)
        elif action == 4:
            changed[place:place] = generator.choice(TOKENS)
        elif action == 5:
            del changed[place : place + length]
        elif action == 6:
            changed[place:place] = changed[max(0, place - length) : place]
        elif generator.random() < 0.3:
            del changed[place:]
        else:
            extreme = generator.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1))
            changed[place : place + 8] = extreme.to_bytes(8, generator.choice(("little", "big")))
    return bytes(changed)


def _containers(value: Any) -> list[Any]:
    """All lists and maps in a value that hold something."""
    found, waiting = [], [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list) and part:
            found.append(part)
            waiting += part.values() if isinstance(part, dict) else part
    return found

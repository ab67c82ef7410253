"""Errors that users cause are lines that any terminal can show."""

import pytest

from recap.errors import InputError


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a.png: expected 1, received é", "a.png: expected 1, received é"),
        ("a\nb\x0c\u2028c", "a\\nb\\x0c\\u2028c"),
        ("half an emoji \ud83d", "half an emoji \\ud83d"),
        ("\x1b[31mred", "\\x1b[31mred"),
    ],
)
def test_what_cannot_be_printed_is_escaped(message: str, shown: str) -> None:
    assert str(InputError(message)) == shown


def test_mistakes_that_were_found_together_have_a_line_each() -> None:
    assert str(InputError("first", "sec\nond")) == "first\nsec\\nond"

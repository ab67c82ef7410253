"""Errors that users cause are lines that any terminal can show."""

import pytest
import torch

from recap.errors import InputError, memory_fault


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


def test_memory_that_is_not_there_is_a_line() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    line = memory_fault(caught.value)
    assert line.startswith("memory: expected enough for the settings and the data, received: ")
    assert "\n" not in line
    assert memory_fault(MemoryError()).endswith("received: no more")
    with pytest.raises(RuntimeError, match="another fault"):
        memory_fault(RuntimeError("another fault"))

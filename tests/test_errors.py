"""Errors that users cause are lines that any terminal can show, and exit codes."""

import errno
from typing import NoReturn

import pytest
import torch

from recap.errors import InputError, exit_code, expecting, memory_fault


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


def test_a_message_keeps_its_ends() -> None:
    line = str(InputError(f"a.zip: {'x' * 100_000}: expected a member, received none"))
    assert len(line) < 2100
    assert line.startswith("a.zip: xxx")
    assert line.endswith("xxx: expected a member, received none")


def test_mistakes_that_were_found_together_have_a_line_each() -> None:
    assert str(InputError("first", "sec\nond")) == "first\nsec\\nond"


def test_no_message_holds_another_of_the_same_place() -> None:
    for place, told in (
        ("a", "a: expected 1, received 2"),
        ("b", "b: expected 3, received: a: expected 1, received 2"),
    ):
        with pytest.raises(InputError) as caught, expecting(f"{place}: expected 3", InputError):
            raise InputError("a: expected 1, received 2")
        assert str(caught.value) == told


def test_memory_that_is_not_there_is_a_line() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    line = memory_fault(caught.value)
    assert line.startswith("memory: expected enough for the settings and the data, received: ")
    assert "\n" not in line
    assert memory_fault(MemoryError()).endswith("received: no more")
    with pytest.raises(RuntimeError, match="another fault"):
        memory_fault(RuntimeError("another fault"))


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a: expected 1, received 2"), 2, "a: expected 1, received 2\n"),
        (OSError(errno.ENOSPC, "No space left on device", "out"), 2, "out: expected to read or write it"),
        (MemoryError(), 2, "memory: expected enough"),
        (RuntimeError("[enforce fail] can't allocate memory"), 2, "memory: expected enough"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> NoReturn:
        raise error

    assert exit_code(fail) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (True, 1)])
def test_the_exit_code_is_what_work_returns(result: object, code: int) -> None:
    assert exit_code(lambda: result) == code


@pytest.mark.parametrize("error", [OSError(errno.EPIPE, "Broken pipe"), RuntimeError("x"), SystemExit(7)])
def test_other_faults_are_not_hidden(error: BaseException) -> None:
    def fail() -> NoReturn:
        raise error

    with pytest.raises(type(error)) as caught:
        exit_code(fail)
    assert caught.value is error

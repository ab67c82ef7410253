"""Numbers on the command line are refused in words."""

import pytest

from recap.cli.main import main

SEED = "expected a whole number, 0 to 9223372036854775807, received"
COUNT = "expected a whole number, 1 to 1000000, received"


@pytest.mark.parametrize("text", ["abc", "1.5", "-1", "", "9" * 30, "9" * 5000, "nan"])
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("score a b --resamples", COUNT),
        ("score a b --seed", SEED),
        ("see predict a --top", COUNT),
        ("see class --class a --iterations", COUNT),
        ("see class --class a --seed", SEED),
        ("data describe --samples", "expected a whole number, 0 to 1000000, received"),
        ("data describe --seed", SEED),
        ("serve --port", "expected a whole number, 1 to 65535, received"),
        ("serve --version", "expected a whole number, 1 to 2147483647, received"),
        ("ui --port", "expected a whole number, 1 to 65535, received"),
        ("sync --within", "expected a number of seconds above 0, at most 1e9, received"),
    ],
)
def test_what_is_no_number_is_refused_in_words(
    command: str, expected: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text == "1.5" and "--within" in command:
        return
    *rest, option = command.split()
    with pytest.raises(SystemExit) as left:
        main([*rest, f"{option}={text}"])
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert f": argument {option}: {expected} {text[:80]!r}; recap " in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["caption"], ["serve", "--port"], ["data", "x\ny"], ["score", "--x"]]
)
def test_a_mistake_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.endswith(" --help says what there is\n")

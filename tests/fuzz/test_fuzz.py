"""A short part of `make fuzz`: hostile input is refused in a line, within its time and memory."""

import random
from pathlib import Path

import pytest
from tests.fuzz.__main__ import run_surface
from tests.fuzz.surfaces import SURFACES
from tests.fuzz.surfaces.arguments import draw_arguments

CASES = {"lock": 10, "arguments": 10, "requests": 20}
FEW = 50


@pytest.mark.parametrize("name", SURFACES)
def test_a_few_cases_of_every_surface(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAP_FUZZ_SCRATCH", str(tmp_path))
    counts = run_surface(name, 7, CASES.get(name, FEW))
    assert counts.failures == {}
    assert counts.refused


def test_every_command_and_option_of_the_parser_is_drawn() -> None:
    generator = random.Random(1)
    drawn = [draw_arguments(generator) for _ in range(4000)]
    told = {" ".join(arguments[:2]) for arguments in drawn} | {
        arguments[0] for arguments in drawn if arguments
    }
    assert {"sync", "heal", "restore", "report", "seeds", "sweep", "data describe"} <= told
    texts = {text.partition("=")[0] for arguments in drawn for text in arguments}
    assert {"--compare", "--cache", "--clip-images", "--allowed-host", "--repeat-trigrams"} <= texts

"""A short part of `make fuzz`: hostile input is refused in a line, within its time and memory."""

from pathlib import Path

import pytest
from tests.fuzz.__main__ import run_surface
from tests.fuzz.surfaces import SURFACES

CASES = {"lock": 10, "arguments": 10, "requests": 20}
FEW = 50


@pytest.mark.parametrize("name", SURFACES)
def test_a_few_cases_of_every_surface(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAP_FUZZ_SCRATCH", str(tmp_path))
    counts = run_surface(name, 7, CASES.get(name, FEW))
    assert counts.failures == {}
    assert counts.refused

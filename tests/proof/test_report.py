"""Findings as lines, JSON and Markdown."""

import html
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.proof.lock import LockedOutput
from recap.proof.report import as_json, as_line, as_markdown, counts
from recap.proof.verify import Finding
from recap.report.promise import is_exact, promise

PORTABLE = {"arithmetic": "portable", "threads": 2, "device": "cpu"}
SAME = Finding(LockedOutput("fetch", "data/raw", "a.dir", 1), "identical", "a.dir")
OTHER = Finding(LockedOutput("train@rnn", "models/rnn", "b", 1), "different", "c", "line 1: expected 'x|y'")
GONE = Finding(LockedOutput("report", "reports/index.html", "d", 1), "missing", None)


def test_lines() -> None:
    assert as_line(OTHER) == "different: models/rnn (stage train@rnn, expected md5 b): line 1: expected 'x|y'"
    assert as_line(GONE) == "missing: reports/index.html (stage report, expected md5 d)"
    assert counts([OTHER, SAME, GONE, SAME]) == "1 different, 2 identical, 1 missing"
    assert counts([]) == "no outputs"


def test_json() -> None:
    text = as_json([SAME, OTHER, GONE], False, PORTABLE)
    values = json.loads(text)
    assert text == json.dumps(values, indent=2, sort_keys=True)
    assert values["counts"] == {"identical": 1, "different": 1, "missing": 1}
    assert values["acceptable"] is False
    assert values["outputs"][1] == {
        "stage": "train@rnn",
        "path": "models/rnn",
        "verdict": "different",
        "expected": "b",
        "received": "c",
        "difference": "line 1: expected 'x|y'",
    }
    assert values["outputs"][2]["received"] is None


def test_markdown() -> None:
    text = as_markdown([SAME, OTHER], False, PORTABLE)
    lines = text.splitlines()
    assert lines[0] == "## recap verify"
    assert lines[2] == "**1 different, 1 identical**: not as promised."
    assert html.unescape(lines[4]) == f"> {promise(PORTABLE)}"
    assert lines[6] == "| Stage | Output | Verdict | MD5 expected | First difference |"
    assert lines[8] == "| fetch | data/raw | identical | a.dir |  |"
    assert lines[9] == "| train&#64;rnn | models/rnn | different | b | line 1: expected 'x&#124;y' |"


@given(st.text())
def test_no_text_escapes_its_cell(text: str) -> None:
    row = as_markdown([Finding(SAME.output, "different", "x", text)], False, {}).splitlines()[-1]
    assert row.count("|") == 6
    cell = row.split("|")[5]
    assert not re.search(r"[<>`*_\[\]\\@]", cell)
    assert html.unescape(cell).split() == text.split()


@pytest.mark.parametrize(
    ("runtime", "exact", "words"),
    [
        (PORTABLE, True, "the same bytes on every x86-64 processor with AVX2"),
        (PORTABLE | {"arithmetic": "native"}, False, "Under runtime.arithmetic: native"),
        (PORTABLE | {"device": "cuda"}, False, "Under runtime.device: cuda"),
        ({}, False, "every metric is within 10% or 0.06"),
    ],
)
def test_the_promise_follows_the_settings(runtime: dict[str, Any], exact: bool, words: str) -> None:
    assert is_exact(runtime) == exact
    assert words in promise(runtime)
    assert ("every x86-64" in promise(runtime)) == exact

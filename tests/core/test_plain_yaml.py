"""One YAML for all: DVC, stages and tracking read the same values; what is no plain YAML is refused."""

import time
from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml as parse_as_dvc
from hypothesis import given
from hypothesis import strategies as st

from recap.core.plain_yaml import DEEPEST, LARGEST, parse_yaml, read_yaml
from recap.errors import InputError
from recap.workspace.pipeline import find_in, read_definition

ROOT = Path(__file__).resolve().parents[2]
SCALARS = (
    "017",
    "0o17",
    "0x1f",
    "08",
    "1_000",
    "1:30",
    "1e3",
    "1e-05",
    "on",
    "no",
    "NO",
    "y",
    "~",
    "null",
    "+1",
)
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock"])
def test_the_files_of_the_pipeline_read_as_dvc_reads_them(name: str) -> None:
    content = (ROOT / name).read_bytes()
    assert parse_yaml(content) == parse_as_dvc(content.decode(), name)


@given(st.lists(st.sampled_from(SCALARS) | st.from_regex(r"[-+.0-9a-fonxyesNO_:~]{1,8}", fullmatch=True)))
def test_a_scalar_is_to_all_what_it_is_to_dvc(scalars: list[str]) -> None:
    text = "".join(f"k{number}: {scalar}\n" for number, scalar in enumerate(scalars))
    try:
        value = parse_yaml(text.encode())
    except ValueError:
        return
    expected = parse_as_dvc(text, "params.yaml")
    assert repr(value or {}) == repr(expected)


def test_tracking_records_what_stages_read(tmp_path: Path) -> None:
    text = "".join(f"k{number}: {scalar}\n" for number, scalar in enumerate(SCALARS))
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    recorded = read_definition(find_in(tmp_path)).params
    assert recorded == read_yaml(tmp_path / "params.yaml", "params")
    assert list(recorded.values()) == [
        *(17, 15, 31, 8, 1000, "1:30", 1000.0, 1e-05),
        *("on", "no", "NO", "y", None, None, 1),
    ]


@pytest.mark.parametrize(
    ("text", "received"),
    [
        (BOMB, "more than 200000 values up to line 6"),
        (MERGES, "more than 200000 values"),
        ("a: &a [*a]\n", "an alias of no complete value in line 1: a"),
        ("a: *b\n", "an alias of no complete value in line 1: b"),
        ("[" * 100_000, f"more than {DEEPEST} lists and maps in one another in line 1"),
        ("a: " + "{a: " * 100_000, f"more than {DEEPEST} lists and maps in one another in line 1"),
        ("a: !!set {b}\n", "a tag (!) in line 1: tag:yaml.org,2002:set"),
        ("a: !!binary aGk=\n", "a tag (!) in line 1: tag:yaml.org,2002:binary"),
        ("a: !!python/object/apply:os.system [ls]\n", "a tag (!) in line 1"),
        ("a: {b: 2001-01-01}\n", "a date, 2001-01-01, at a.b"),
        ("a: 2001-13-01\n", "a value that is none: month must be in 1..12"),
        (f"a: {'9' * 5000}\n", "a value that is none: Exceeds the limit"),
        ("1: a\n", "a key that is no text, 1,"),
        ("? [a, b]\n: 1\n", "a key that is no text, ('a', 'b'),"),
        ("a: 1\na: 2\n", "no YAML in line 2: found duplicate key"),
        ("%YAML 1.1\n---\na: on\n", "a directive (%) in line 1"),
        ("a: 1\n---\na: 2\n", "no YAML in line 2"),
        ('a: "\\0"\n', 'a text with control characters or half letters, "\\u0000", at a'),
        ("a: \0\n", "no YAML"),
        ("#" * (LARGEST + 1), f"more than {LARGEST} bytes"),
    ],
)
def test_what_is_no_plain_yaml_is_told_in_a_line(text: str, received: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text)
    begin = time.monotonic()
    with pytest.raises(InputError) as caught:
        read_yaml(tmp_path / "params.yaml", "params")
    assert time.monotonic() - begin < 5
    assert f"params.yaml: expected params, received {received}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("content", ["a: ü".encode("latin-1"), "a: 1".encode("utf-16")])
def test_another_encoding_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match="no UTF-8 from byte"):
        parse_yaml(content)


def test_an_anchor_serves_twice_and_a_byte_order_mark_is_no_letter() -> None:
    text = "a: &a {b: 1}\nc: *a\nd:\n  <<: *a\n  e: 2\n"
    expected = {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}
    assert parse_yaml(text.encode("utf-8-sig")) == expected


def test_the_same_content_gives_values_of_its_own() -> None:
    content = b"of: {this: [test]}\n"
    first = parse_yaml(content)
    first["of"]["this"].append("change")
    assert parse_yaml(content) == {"of": {"this": ["test"]}}

"""params.yaml: every mistake at once, one line each; every key used, typed and commented."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from recap.core.config import GROUPS, load, load_all
from recap.core.plain_yaml import read_yaml
from recap.decoders.config import DecodersConfig
from recap.errors import InputError
from recap.training.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_all(path)
    return str(caught.value).splitlines()


def test_the_committed_params_are_right_and_whole() -> None:
    assert list(load_all(ROOT / "params.yaml")) == list(GROUPS)
    assert load(ROOT / "params.yaml", DecodersConfig).lstm.hidden_dim > 0


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = PARAMS.replace("threads: 1", "threads: two").replace("hidden_dim: 256", "hidden_dim: -5")
    text = text.replace("source: scenes", "source: imagenet").replace("warmup_steps:", "warmup_step:")
    lines = mistakes(write(tmp_path, text + "\nextra: 1\n"))
    assert [line.partition(": expected")[0] for line in lines] == [
        "params.yaml: extra",
        "params.yaml: runtime.threads",
        "params.yaml: data.source",
        "params.yaml: decoders.rnn.hidden_dim",
        "params.yaml: decoders.lstm.hidden_dim",
        "params.yaml: decoders.attention_lstm.hidden_dim",
        "params.yaml: train.warmup_steps",
        "params.yaml: train.warmup_step",
    ]
    assert lines[1] == 'params.yaml: runtime.threads: expected an integer, received "two"'
    assert lines[4] == "params.yaml: decoders.lstm.hidden_dim: expected a positive integer, received -5"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a list\n", 'expected groups of settings, received ["a list"]'),
        ("", "expected groups of settings, received null"),
        ("runtime: [unclosed\n", "received no YAML in line 2"),
        ("a: 1\nseed: 1\nseed: 2\n", 'received no YAML in line 3: found duplicate key "seed"'),
    ],
)
def test_a_file_that_is_no_params_file_is_told_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    lines = mistakes(write(tmp_path, text))
    assert len(lines) == 1
    assert expected in lines[0]


def test_an_absent_file_is_told_in_one_line(tmp_path: Path) -> None:
    assert "expected a params file, received: No such file" in mistakes(tmp_path / "absent.yaml")[0]


def test_numbers_follow_yaml_1_2_as_dvc_reads_them(tmp_path: Path) -> None:
    path = write(tmp_path, PARAMS.replace("gradient_clip: 1.0", "gradient_clip: 1e-1"))
    assert load(path, TrainConfig).gradient_clip == 0.1


@pytest.mark.parametrize("value", [".nan", ".inf", "true", "'1.0'", "[1.0]", "null"])
def test_what_is_no_finite_number_is_refused(tmp_path: Path, value: str) -> None:
    lines = mistakes(write(tmp_path, PARAMS.replace("gradient_clip: 1.0", f"gradient_clip: {value}")))
    assert len(lines) == 1
    assert lines[0].startswith("params.yaml: train.gradient_clip: expected")


def test_a_setting_that_is_not_said_is_a_mistake(tmp_path: Path) -> None:
    settings = [(match[1], match[0]) for match in re.finditer(r"^ +(\w+): +[^ #\n].*\n", PARAMS, re.M)]
    settings.remove(
        ("processes", next(line for name, line in settings if name == "processes"))
    )  # an only one
    assert len(settings) > 80
    for name, line in settings:
        lines = mistakes(write(tmp_path, PARAMS.replace(line, "", 1)))
        assert len(lines) == 1
        assert lines[0].endswith(f".{name}: expected a value, received nothing")


def number_settings(values: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every setting that is a number."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from number_settings(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key), value


def test_no_setting_takes_any_number(tmp_path: Path) -> None:
    settings = list(number_settings(read_yaml(ROOT / "params.yaml", "params")))
    assert len(settings) > 60
    for path, value in settings:
        for extreme in (10**30, -1) if isinstance(value, int) else (1e300, -1e300):
            values = read_yaml(ROOT / "params.yaml", "params")
            group = values
            for key in path[:-1]:
                group = group[key]
            group[path[-1]] = extreme
            lines = mistakes(write(tmp_path, json.dumps(values)))
            assert [line.partition(": expected")[0] for line in lines] == [f"params.yaml: {'.'.join(path)}"]


def test_mistakes_without_end_are_counted(tmp_path: Path) -> None:
    lines = mistakes(write(tmp_path, PARAMS + "".join(f"extra_{index}: 1\n" for index in range(1000))))
    assert len(lines) == 51
    assert lines[-1] == "params.yaml: and 950 mistakes more"


@given(group=st.sampled_from(sorted(GROUPS)), value=st.sampled_from([None, 3, "text", [1, 2]]))
def test_a_group_that_is_no_group_is_refused(
    tmp_path_factory: pytest.TempPathFactory, group: str, value: object
) -> None:
    values = YAML(typ="safe", pure=True).load(PARAMS)
    values[group] = value
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    YAML().dump(values, path)
    assert mistakes(path)[0].startswith(f"params.yaml: {group}: expected")


def test_every_key_is_documented_by_a_comment() -> None:
    keys = [line for line in PARAMS.splitlines() if ":" in line and not line.lstrip().startswith("#")]
    nested_groups = {"scenes:", "coco:", "folder:", "rnn:", "lstm:", "transformer:"}
    assert [line for line in keys if "#" not in line and line.strip() not in nested_groups] == []


def test_the_command_line_leaves_with_2_and_no_traceback(tmp_path: Path) -> None:
    write(tmp_path, PARAMS.replace("threads: 1", "threads: 0"))
    command = [sys.executable, "-m", "recap.cli", "config", "--check"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "params.yaml: runtime.threads: expected a positive integer, received 0"
    ]

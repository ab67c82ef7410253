"""A setting is written down once: in params.yaml, beside the field that checks it, and nowhere else."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.imports import ROOT

from recap.core.config import GROUPS
from recap.proof.pipeline import present_inputs
from recap.report.sections.reproduce import COMMANDS

ADDED = {
    "train.clip_after": ("train:", "  seed:", "training/config.py", {"train"}),
    "decoders.transformer.clip_after": (
        "  transformer:",
        "    heads:",
        "decoders/config.py",
        {"train@transformer"},
    ),
}
"""A setting: the line of its group in params.yaml, a line to write it before, its dataclass, who reads it."""


@pytest.mark.parametrize("setting", ADDED)
def test_a_new_setting_is_a_line_and_a_field(setting: str, tmp_path: Path) -> None:
    group, line, module, readers = ADDED[setting]
    for name in ("src", "stages", "inputs"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
        )
    for name in ("dvc.yaml", "params.yaml", "requirements.lock", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    before = present_inputs(tmp_path, ())

    params = tmp_path / "params.yaml"
    start, end = params.read_text(encoding="utf-8").split(f"\n{group}", 1)
    indent = line[: -len(line.lstrip())]
    changed = end.replace(f"\n{line}", f"\n{indent}clip_after: 3\n{line}", 1)
    params.write_text(f"{start}\n{group}{changed}", encoding="utf-8")
    config = tmp_path / "src" / "recap" / module
    field = re.compile(rf"^    {line.strip()} .*\n", flags=re.MULTILINE)
    code = field.sub(lambda found: f"    clip_after: int\n{found[0]}", config.read_text(encoding="utf-8"))
    config.write_text(code, encoding="utf-8")

    command = [sys.executable, "-m", "recap.cli", "config"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    value = json.loads(shown.stdout)
    for key in setting.split("."):
        value = value[key]
    assert value == 3
    after = present_inputs(tmp_path, ())
    stale = {name for name in before if before[name].get("params") != after[name].get("params")}
    assert stale == {name for name in before if name in readers or name.partition("@")[0] in readers} | {
        "report"
    }


def test_the_examples_of_another_setting_are_not_the_defaults() -> None:
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    places = [ROOT / "README.md", ROOT / "params.yaml", *(ROOT / "docs").glob("*.md")]
    examples = [*(path.read_text(encoding="utf-8") for path in places), *(line for line, _ in COMMANDS)]
    found = re.findall(r"dvc exp run (?:--queue )?-S ([\w.]+)=([\w.,]+)", "\n".join(examples))
    assert len(found) >= 4
    for setting, values in found:
        default = params
        for key in setting.split("."):
            default = default[key]
        assert str(default) not in values.split(","), setting


def test_no_setting_has_a_second_default() -> None:
    modules = {importlib.import_module(reference.partition(":")[0]) for reference in GROUPS.values()}
    named = [value for module in modules for value in vars(module).values()]
    groups = {value for value in named if is_dataclass(value) and value.__module__.startswith("recap.")}
    assert len(groups) > len(GROUPS)
    for group in groups:
        for own in fields(group):
            assert own.default is MISSING, f"{group.__name__}.{own.name}"
            assert own.default_factory is MISSING, f"{group.__name__}.{own.name}"

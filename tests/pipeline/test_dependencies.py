"""dvc.yaml's dependencies hold what the stage scripts import, and nothing else makes a stage stale."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.imports import LIBRARY, ROOT, all_imports

from recap.proof.pipeline import present_inputs

STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
WITHOUT_EFFECT = ("tracking", "guard", "workspace", "proof", "cli", "errors.py", "progress.py")
"""What changes no output: the record, what stands around a stage, the commands, messages, progress."""


def imports(stage: str) -> set[Path]:
    return all_imports(ROOT / "stages" / f"{stage}.py", WITHOUT_EFFECT)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_depends_on_what_it_imports_and_on_nothing_more(stage: str) -> None:
    named = [ROOT / entry for entry in STAGES[stage]["deps"] if entry.startswith("src/")]
    outside = [path for path in imports(stage) if not any(path.is_relative_to(place) for place in named)]
    assert not outside, f"{stage}: in dvc.yaml's deps is missing what holds {sorted(outside)}"
    unused = [place for place in named if not any(path.is_relative_to(place) for path in imports(stage))]
    assert not unused, f"{stage}: imports nothing from {unused}"
    assert {"requirements.lock", f"stages/{stage}.py"} <= {*STAGES[stage]["deps"]}


def test_a_comment_makes_stale_what_reads_its_folder_and_nothing_else(tmp_path: Path) -> None:
    for name in ("src", "stages", "inputs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("dvc.yaml", "params.yaml", "requirements.lock", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    before = present_inputs(tmp_path, ())
    for folder in ("text", "explain", "tracking"):
        file = tmp_path / "src" / "recap" / folder / "__init__.py"
        content = file.read_text(encoding="utf-8")
        file.write_text(f"{content}# a comment\n", encoding="utf-8")
        after = present_inputs(tmp_path, ())
        file.write_text(content, encoding="utf-8")
        stale = {stage.partition("@")[0] for stage in before if before[stage] != after[stage]}
        readers = {
            stage for stage in STAGES if any(LIBRARY / folder in path.parents for path in imports(stage))
        }
        assert stale == readers, folder


def test_the_readme_draws_what_dvc_draws() -> None:
    command = [sys.executable, "-m", "dvc", "dag", "--collapse-foreach-matrix", "--mermaid", "dvc.yaml"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    stage = dict(re.findall(r"(node\d+)\[\"(.+?)\"\]", drawn))
    arrows = {(stage[start], stage[end]) for start, end in re.findall(r"(node\d+)-->(node\d+)", drawn)}
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("```mermaid")[2].partition("```")[0]
    assert len(arrows) > 30
    assert {*re.findall(r"(\w+) --> (\w+)", readme)} == arrows


def test_what_python_compiles_makes_nothing_stale(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "recap" / "text", tmp_path / "text")
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {show: {cmd: cat text/*, deps: [text]}}", encoding="utf-8")
    shutil.rmtree(tmp_path / "text" / "__pycache__", ignore_errors=True)
    before = present_inputs(tmp_path, ())
    (tmp_path / "text" / "__pycache__").mkdir()
    (tmp_path / "text" / "__pycache__" / "vocabulary.cpython-311.pyc").write_bytes(b"compiled")
    assert present_inputs(tmp_path, ()) == before


def test_every_setting_reruns_a_stage_when_it_changes() -> None:
    def paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for key, value in values.items():
            inner = paths(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
            yield from inner

    settings = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    for path in paths(settings):
        readers = [
            name
            for name, stage in STAGES.items()
            for param in stage.get("params", [])
            for item in set(settings["decoders"]) - {"names"}
            if f"{path}.".startswith(param.replace("${item.decoder}", item) + ".")
        ]
        own = {"report"} if path.startswith("report.") else set(readers) - {"report"}
        assert own, f"{path}: no stage lists it in its params"

"""docs/architecture.md holds: what it quotes stands in the files, and its stage runs as it is printed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.imports import ROOT, all_imports
from tests.pipeline.test_dependencies import WITHOUT_EFFECT
from tests.pipeline.test_pipeline import change_params, copy_checkout, dvc, stages_run

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CAPTIONS = {
    "data": {"scenes": {"train_images": 20, "validation_images": 4, "test_images": 4}},
    "tokenize": {"min_count": 1},
}


def test_what_the_diffs_quote_stands_in_the_files() -> None:
    diffs = re.findall(r"```diff\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(diffs) >= 4
    for name, lines in diffs:
        content = (ROOT / name).read_text(encoding="utf-8").splitlines()
        quoted = [line[1:] for line in lines.splitlines() if line[0] in " -"]
        assert [line for line in quoted if line not in content] == [], name


def test_the_files_that_the_page_names_are_there() -> None:
    named = re.findall(r"`([\w/.]+\.(?:py|jinja|yaml|md))`", PAGE)
    places = [ROOT, ROOT / "src" / "recap"]
    for name in {*named} - {"stages/NAME.py", "src/recap/report/lengths.py", "stages/lengths.py"}:
        assert any((place / name).is_file() for place in places), name


def test_the_tests_that_pages_name_are_there() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"\btests/[\w/]+\.py\b", page.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), (page.name, name)


@pytest.mark.slow
def test_the_stage_of_the_page_runs_as_it_is_printed(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    change_params(checkout, CAPTIONS)
    for name, code in re.findall(r"`([\w/]+/lengths\.py)`:\n\n```python\n(.*?)```", PAGE, flags=re.DOTALL):
        assert not (checkout / name).exists()
        (checkout / name).write_text(code, encoding="utf-8")
    (entry,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    pipeline = checkout / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("\nplots:", f"\n{entry}\nplots:"), encoding="utf-8")
    tracking = {"RECAP_TRACKING": "off"}
    ran = stages_run(dvc(checkout, "repro", "lengths", **tracking))
    assert [name for name in ran if ":" not in name] == ["fetch", "tokenize", "lengths"]
    metrics = json.loads((checkout / "reports" / "lengths" / "metrics.json").read_bytes())
    assert metrics["captions"] == 100
    assert 3 < metrics["mean"] < metrics["longest"] < 40
    assert stages_run(dvc(checkout, "repro", "lengths", **tracking)) == []
    library = checkout / "src" / "recap"
    for path in all_imports(checkout / "stages" / "lengths.py", WITHOUT_EFFECT, library):
        assert any(path.is_relative_to(checkout / place) for place in re.findall(r"src/recap/\w+", entry)), (
            path
        )
    file = library / "report" / "lengths.py"
    for command in (["ruff", "check"], ["ruff", "format", "--check"]):
        files = [file, checkout / "stages" / "lengths.py"]
        subprocess.run([sys.executable, "-m", *command, *files], cwd=ROOT, check=True, capture_output=True)
    file.write_text(f"{file.read_text()}# a comment\n", encoding="utf-8")
    assert stages_run(dvc(checkout, "repro", "lengths", **tracking)) == ["lengths"]

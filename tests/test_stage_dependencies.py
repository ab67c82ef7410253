"""dvc.yaml's code dependencies equal what the stage scripts really import."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from recap.stage_dependencies import code_dependencies, imported_modules, is_code

ROOT = Path(__file__).resolve().parents[1]
STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


@pytest.mark.parametrize("name", sorted(STAGES))
def test_deps_equal_the_import_graph(name: str) -> None:
    named = [entry for entry in STAGES[name]["deps"] if is_code(entry)]
    assert named == code_dependencies(STAGES[name], ROOT), "run: recap deps"


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
            for item in settings["train"]["decoders"]
            if f"{path}.".startswith(param.replace("${item.decoder}", item) + ".")
        ]
        own = {"report"} if path.startswith("report.") else set(readers) - {"report"}
        assert own, f"{path}: no stage lists it in its params"


def test_a_package_holds_nothing_but_its_docstring() -> None:
    library = ROOT / "src" / "recap"
    for path in {*library.rglob("__init__.py")} - {library / "__init__.py"}:  # whose `load` no stage asks for
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_imports_are_followed_through_modules_and_functions(tmp_path: Path) -> None:
    package = tmp_path / "src" / "recap"
    (package / "tracking").mkdir(parents=True)
    (package / "a.py").write_text("def f():\n    from recap.b import g\n")
    (package / "b.py").write_text("import recap.c\n")
    (package / "c.py").write_text("import json\n")
    (package / "unused.py").write_text("")
    (package / "tracking" / "run.py").write_text("")
    script = tmp_path / "stage.py"
    script.write_text("from recap import a\nimport recap.tracking.run\n")
    found = [path.name for path in imported_modules(script, tmp_path / "src")]
    assert found == ["a.py", "b.py", "c.py"]


def test_templates_beside_imported_modules_count(tmp_path: Path) -> None:
    for name in ("used", "unused"):
        package = tmp_path / "src" / "recap" / name
        package.mkdir(parents=True)
        for file in ("page.py", "page.html.jinja", "style.css", "notes.txt"):
            (package / file).write_text("")
    (tmp_path / "src" / "recap" / "run_stage.py").write_text("")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "draw.py").write_text("import recap.used.page\n")
    assert code_dependencies({"cmd": "sh stages/run.sh draw"}, tmp_path) == [
        "requirements.lock",
        "stages/run.sh",
        "stages/draw.py",
        "src/recap/run_stage.py",
        "src/recap/used/page.py",
        "src/recap/used/page.html.jinja",
        "src/recap/used/style.css",
    ]

"""The rooms of src/recap: small, in one order, and each with what docs/architecture.md says of it."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.imports import LIBRARY, ROOT, direct_imports

ORDER = [
    "errors",
    "progress",
    "core",
    "runtime",
    "text",
    "sources/scenes",
    "sources",
    "backbones",
    "features",
    "decoders",
    "metrics",
    "decoding",
    "captioner",
    "loading",
    "evaluation",
    "training",
    "reference",
    "sanity",
    "explain",
    "report",
    "workspace",
    "importing",
    "serving",
    "tracking",
    "comparison",
    "proof",
    "guard",
    "experiments",
    "run_stage",
    "cli",
]
"""The rooms and the modules beside them: each imports only from itself and from those before it."""

FILES = sorted(LIBRARY.rglob("*.py"))


def room(path: Path) -> str:
    name = path.relative_to(LIBRARY).with_suffix("").as_posix()
    return "sources/scenes" if name.startswith("sources/scenes/") else name.partition("/")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LIBRARY).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    if path == LIBRARY / "__init__.py":  # whose `load` no module asks for
        return
    later = ORDER[ORDER.index(room(path)) + 1 :]
    assert [module for module in direct_imports(path) if room(module) in later] == []


def test_the_page_on_architecture_names_the_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    quoted = " ".join(line.removeprefix("> ") for line in page.splitlines())
    assert " < ".join(ORDER) in quoted


def test_metrics_need_no_network_no_dvc_and_no_mlflow() -> None:
    modules = [path.relative_to(LIBRARY.parent).with_suffix("") for path in FILES if room(path) == "metrics"]
    names = ", ".join(".".join(module.parts) for module in modules if module.name != "__init__")
    script = f"import sys, {names}; print({{'torch', 'dvc', 'mlflow'}} & {{*sys.modules}})"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_a_package_holds_nothing_but_its_docstring() -> None:
    for path in FILES:
        if path.name == "__init__.py" and path.parent != LIBRARY:
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, path
            assert isinstance(body[0], ast.Expr), path


def test_files_and_folders_are_small() -> None:
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path
    for folder in {path.parent for path in FILES}:
        files = [path for path in folder.iterdir() if path.is_file()]
        assert len(files) <= 15, folder


def test_the_newest_change_is_that_of_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)$", changes, flags=re.MULTILINE)[1] == project["version"]
    assert version(project["name"]) == project["version"], "run: make setup"

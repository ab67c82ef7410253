"""Which modules a stage's script really imports: the `deps` that dvc.yaml must name."""

import ast
from pathlib import Path
from typing import Any

NO_DEPENDENCY = ("recap.tracking", "recap.progress", "recap.cli", "recap.guard")
"""What cannot change an output: logging, progress, the command line, what stands around a stage."""
TEMPLATES = (".jinja", ".css", ".js")
"""What modules read from their own folder."""


def imported_modules(script: Path, source: Path, *more: Path) -> list[Path]:
    """The library's files that a script, or one of ``more``, imports, directly or through others, sorted.

    Imports inside functions count. Packages' ``__init__`` files hold only a docstring and do not count.

    Args:
        script: a stage's Python file.
        source: the folder that holds the package ``recap``.
    """
    found: set[Path] = set()
    waiting = [script, *more]
    while waiting:
        for name in _imported_names(waiting.pop()):
            path = source / Path(*name.split(".")).with_suffix(".py")
            if path not in found and path.is_file() and not _is_exempt(name):
                found.add(path)
                waiting.append(path)
    return sorted(found)


def _is_exempt(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in NO_DEPENDENCY)


def _imported_names(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("recap.")]


def code_dependencies(stage: dict[str, Any], root: Path) -> list[str]:
    """What the `deps` of a stage in dvc.yaml must name beside data: lock file, script, modules, templates.

    Args:
        stage: a stage's entry, whose command is ``sh stages/run.sh NAME ...``.
        root: the repository.
    """
    script = root / "stages" / f"{stage['cmd'].split()[2]}.py"
    runner = root / "src" / "recap" / "run_stage.py"
    modules = sorted({runner, *imported_modules(script, root / "src", runner)})
    folders = sorted({module.parent for module in modules})
    templates = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in TEMPLATES]
    files = [root / "stages" / "run.sh", script, *modules, *templates]
    return ["requirements.lock", *(path.relative_to(root).as_posix() for path in files)]


def is_code(dependency: str) -> bool:
    """Whether an entry of `deps` is code or the lock file, not data."""
    return dependency.startswith(("src/", "stages/")) or dependency == "requirements.lock"


def update(path: Path) -> list[str]:
    """Write the code dependencies into dvc.yaml; returns the stages whose `deps` changed."""
    import io

    from ruamel.yaml import YAML

    from recap.artifacts import write_text

    yaml = YAML()
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    pipeline = yaml.load(path.read_text(encoding="utf-8"))
    changed = []
    for name, stage in pipeline["stages"].items():
        data = [entry for entry in stage["deps"] if not is_code(entry)]
        expected = [*data, *code_dependencies(stage, path.parent)]
        if expected != list(stage["deps"]):
            stage["deps"] = expected
            changed.append(name)
    if changed:
        text = io.StringIO()
        yaml.dump(pipeline, text)
        write_text(path, text.getvalue())
    return changed

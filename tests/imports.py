"""Reads from the code which modules of the library a file imports; imports inside functions count."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "src" / "recap"


def direct_imports(path: Path, library: Path = LIBRARY) -> Iterator[Path]:
    """The library's modules that a file names, as files."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            module = library.parent / Path(*name.split(".")).with_suffix(".py")
            if name.startswith("recap.") and module.is_file():
                yield module


def all_imports(script: Path, outside: tuple[str, ...], library: Path = LIBRARY) -> set[Path]:
    """The library's modules that a script imports, directly or through others.

    Args:
        script: a Python file.
        outside: folders and files, below the library, that are left out with all that they import.
        library: the folder of the package.
    """
    left_out = [library / name for name in outside]
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        for module in direct_imports(waiting.pop(), library):
            if module not in found and not any(module.is_relative_to(place) for place in left_out):
                found.add(module)
                waiting.append(module)
    return found

"""Which of its code a pipeline is known by, beside what DVC itself recorded of it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.small_pipeline import dvc, git

from recap.workspace.lock_file import parse_lock, records
from recap.workspace.pipeline import (
    LARGEST_SOURCE,
    find_in,
    open_pipeline,
    open_repository,
    read_definition,
)

CODE = {
    "code/a.py": "a",
    "code/a/b.py": "b",  # beside a.py: DVC sorts by the whole path
    "code/a-b/c.py": "c",
    "code/inner/deep/d.py": "d",
    "one.py": "one",
}
PIPELINE = """\
stages:
  make:
    cmd: cat code/a.py > made
    params: [width]
    deps: [code, code/inner, one.py]
    outs: [made]
  record:
    cmd: cat made
    deps: [made]
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose stage depends on folders of code, and has run."""
    root = tmp_path_factory.mktemp("folders") / "run"
    files = CODE | {"dvc.yaml": PIPELINE, "params.yaml": "width: 2\n", ".dvcignore": "__pycache__/\n"}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "--quiet")
    dvc(root, "init")
    dvc(root, "repro")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Run")
    return root


def is_recorded(root: Path, sources: Mapping[str, str]) -> bool:
    return records(parse_lock((root / "dvc.lock").read_bytes()), "make", {"width": 2}, sources, {})


def test_folders_of_code_have_the_hashes_that_dvc_records(checkout: Path) -> None:
    (checkout / "code" / "__pycache__").mkdir(exist_ok=True)
    (checkout / "code" / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"compiled")
    entry = parse_lock((checkout / "dvc.lock").read_bytes())["make"]
    definition = read_definition(find_in(checkout))
    assert definition.sources == {dep["path"]: dep["md5"] for dep in entry["deps"]}
    assert is_recorded(checkout, definition.sources)


@pytest.mark.parametrize("name", [*CODE, "code/inner/new.py"])
def test_another_file_in_a_folder_is_another_pipeline(checkout: Path, name: str) -> None:
    before = read_definition(find_in(checkout))
    path = checkout / name
    path.write_text("other")
    try:
        after = read_definition(find_in(checkout))
    finally:
        path.write_text(CODE[name]) if name in CODE else path.unlink()
    assert after.fingerprint != before.fingerprint
    assert not is_recorded(checkout, after.sources)


def test_a_folder_that_holds_data_is_taken_as_dvc_recorded_it(checkout: Path) -> None:
    large = checkout / "code" / "inner" / "weights"
    with open(large, "wb") as file:
        file.truncate(LARGEST_SOURCE + 1)
    try:
        sources = read_definition(find_in(checkout)).sources
    finally:
        large.unlink()
    assert set(sources) == {"one.py"}
    assert is_recorded(checkout, sources)


def test_a_commit_is_the_same_pipeline_and_all_of_it_is_here(checkout: Path) -> None:
    with open_repository(checkout) as repo:
        with open_pipeline(repo) as workspace:
            assert workspace.is_here("make")
        with open_pipeline(repo, "HEAD") as committed:
            assert committed.definition == workspace.definition
            assert committed.is_here("make")

"""`recap verify`: hashes as DVC forms them, and what differs named."""

from pathlib import Path

import pytest

from recap.errors import InputError
from recap.verify import hash_output, verify


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with one file and one folder output."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "b.txt").write_text("b\n")
    (tmp_path / "folder" / "a.txt").write_text("a\n")
    (tmp_path / "file.txt").write_text("content\n")
    lock = "schema: '2.0'\nstages:\n  make:\n    cmd: x\n    outs:\n"
    for name in ("file.txt", "folder"):
        lock += f"    - path: {name}\n      hash: md5\n      md5: {hash_output(tmp_path / name)}\n"
    (tmp_path / "dvc.lock").write_text(lock)
    return tmp_path


def verdicts(root: Path) -> dict[str, str]:
    return {output.path: verdict for output, verdict in verify(root)}


def test_hashes_equal_those_that_dvc_computes(repository: Path) -> None:
    from dvc.repo import Repo
    from dvc_data.hashfile.build import build

    repo = Repo.init(str(repository), no_scm=True)
    try:
        for name in ("file.txt", "folder"):
            _, _, node = build(
                repo.cache.local, str(repository / name), repo.cache.local.fs, "md5", dry_run=True
            )
            assert node.hash_info.value == hash_output(repository / name)
    finally:
        repo.close()


def test_untouched_outputs_are_identical(repository: Path) -> None:
    assert verdicts(repository) == {"file.txt": "identical", "folder": "identical"}


@pytest.mark.parametrize("fault", ["edit", "same size and time", "extra file", "missing file", "renamed"])
def test_a_fault_inside_a_folder_is_found(repository: Path, fault: str) -> None:
    import os

    path = repository / "folder" / "a.txt"
    if fault == "edit":
        path.write_text("changed\n")
    elif fault == "same size and time":
        before = path.stat()
        path.write_text("z\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif fault == "extra file":
        (repository / "folder" / "c.txt").write_text("")
    elif fault == "missing file":
        path.unlink()
    else:
        path.rename(path.with_name("z.txt"))
    assert verdicts(repository) == {"file.txt": "identical", "folder": "different"}


def test_a_missing_output_is_named(repository: Path) -> None:
    (repository / "file.txt").unlink()
    assert verdicts(repository)["file.txt"] == "missing"


@pytest.mark.parametrize("content", [None, "", "[", "stages: 3\n"])
def test_what_is_no_lock_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "dvc.lock").write_text(content)
    with pytest.raises(InputError, match=r"expected a dvc\.lock") as caught:
        list(verify(tmp_path))
    assert "\n" not in str(caught.value)

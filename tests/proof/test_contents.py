"""Where an output differs from what a lock records, by another checkout or a cache; neither is trusted."""

import json
import shutil
from pathlib import Path

import pytest
from tests.small_pipeline import read_lock_file

from recap.proof.differences import difference_from
from recap.proof.lock import LockedOutput
from recap.workspace.cache import Cache


@pytest.fixture
def outputs(finished_run: Path) -> dict[str, LockedOutput]:
    return {
        own["path"]: LockedOutput(stage, own["path"], own["md5"], own["size"])
        for stage, entry in read_lock_file(finished_run)["stages"].items()
        for own in entry["outs"]
    }


def rewrite(path: Path, text: str) -> None:
    """Change a file that may be a link into the cache."""
    path.unlink()
    path.write_text(text)


def corrupt(root: Path, md5: str) -> None:
    path = Cache(root).path(md5)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")


def test_the_cache_says_which_value_differs(finished_run: Path, outputs) -> None:
    rewrite(finished_run / "data/raw/words.txt", "one\nten\n")
    rewrite(finished_run / "reports/index.html", "<p>pages</p>\n")
    found = {
        path: difference_from(finished_run, outputs[path], finished_run / path)
        for path in ("data/raw", "reports/index.html", "models/lstm")
    }
    assert found == {
        "data/raw": "words.txt: line 2: expected 'two', received 'ten'",
        "reports/index.html": "line 1: expected '<p>page</p>', received '<p>pages</p>'",
        "models/lstm": "",
    }


@pytest.mark.parametrize(
    ("fault", "found"),
    [("extra", "a.txt: extra"), ("missing", "inner/rows.csv: missing"), ("both", "inner/rows.csv: missing")],
)
def test_files_that_are_missing_or_extra_are_named(finished_run: Path, outputs, fault, found) -> None:
    folder = finished_run / "data" / "raw"
    if fault == "extra":
        (folder / "a.txt").write_text("")
    else:
        (folder / "inner" / "rows.csv").unlink()
    if fault == "both":
        (folder / "z.txt").write_text("")
    assert difference_from(finished_run, outputs["data/raw"], folder) == found


def test_a_cache_that_lies_says_nothing(finished_run: Path, outputs) -> None:
    (words,) = [
        entry["md5"]
        for entry in json.loads(Cache(finished_run).path(outputs["data/raw"].md5).read_bytes())
        if entry["relpath"] == "words.txt"
    ]
    rewrite(finished_run / "data/raw/words.txt", "one\nten\n")
    corrupt(finished_run, words)
    path = finished_run / "data" / "raw"
    assert difference_from(finished_run, outputs["data/raw"], path) == "words.txt: differs"
    corrupt(finished_run, outputs["data/raw"].md5)
    assert difference_from(finished_run, outputs["data/raw"], path) == ""
    rewrite(finished_run / "reports/index.html", "other\n")
    corrupt(finished_run, outputs["reports/index.html"].md5)
    assert (
        difference_from(finished_run, outputs["reports/index.html"], finished_run / "reports/index.html")
        == ""
    )


def test_without_a_cache_there_is_nothing_to_say(finished_run: Path, outputs) -> None:
    shutil.rmtree(finished_run / ".dvc" / "cache")
    rewrite(finished_run / "data/raw/words.txt", "one\nten\n")
    assert difference_from(finished_run, outputs["data/raw"], finished_run / "data" / "raw") == ""


@pytest.mark.parametrize(("path", "found"), [("data/raw", "a folder"), ("reports/index.html", "a file")])
def test_a_file_in_the_place_of_a_folder_is_told(finished_run: Path, outputs, path, found) -> None:
    target = finished_run / path
    if target.is_dir():
        shutil.rmtree(target)
        target.write_text("")
    else:
        target.unlink()
        target.mkdir()
    assert difference_from(finished_run, outputs[path], target).startswith(f"expected {found}, received")


def test_another_checkout_is_compared_when_it_holds_what_its_lock_records(
    finished_run: Path, outputs, tmp_path: Path
) -> None:
    shutil.rmtree(finished_run / ".dvc" / "cache")
    received = tmp_path / "received"
    shutil.copytree(finished_run / "models" / "lstm", received)
    (received / "history.csv").write_text("epoch,loss\n1,2.5\n2,9.5\n")
    found = "history.csv: line 3: expected '2,1.5', received '2,9.5'"
    assert difference_from(finished_run, outputs["models/lstm"], received) == found
    rewrite(finished_run / "models/lstm/history.csv", "no more what was recorded\n")
    assert difference_from(finished_run, outputs["models/lstm"], received) == ""
    shutil.rmtree(finished_run / "models")
    assert difference_from(finished_run, outputs["models/lstm"], received) == ""
    assert difference_from(finished_run, outputs["models/lstm"], tmp_path / "absent") == ""


@pytest.mark.parametrize("listing", [b"3", b"[3]", b'[{"md5": 3}]', b"no JSON", b"\xff"])
def test_a_list_of_a_folder_that_is_none_says_nothing(finished_run: Path, outputs, listing: bytes) -> None:
    import hashlib

    md5 = hashlib.md5(listing).hexdigest() + ".dir"
    path = Cache(finished_run).path(md5)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(listing)
    output = LockedOutput("fetch", "data/raw", md5, 1)
    assert difference_from(finished_run, output, finished_run / "data" / "raw") == ""

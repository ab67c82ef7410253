"""A lock is for its checkout: command, dependencies and params of every stage are those that it records."""

from pathlib import Path

import pytest
from tests.small_pipeline import OUTPUTS

from recap.proof.verify import verify

PATHS = [path for paths in OUTPUTS.values() for path in paths]


def verdicts(root: Path) -> dict[str, str]:
    return {finding.output.path: finding.verdict for finding in verify(root)}


@pytest.mark.parametrize(
    ("name", "old", "new", "stages", "reason"),
    [
        ("params.yaml", "page: plain", "page: other", ["page"], "params.yaml:page"),
        ("params.yaml", "threads: 2", "threads: 3", ["train@lstm", "train@rnn"], "params.yaml:runtime"),
        ("params.yaml", "page: plain", "", ["page"], "params.yaml:page, params.yaml:runtime.arithmetic"),
        ("dvc.yaml", "make.py page", "make.py  page", ["page"], "the command"),
        ("dvc.yaml", "deps: [models]", "deps: [make.py]", ["page"], "make.py, models"),
        ("dvc.yaml", "deps: [models]", "deps: [absent.py]", ["page"], "models"),
        ("dvc.yaml", "params: [runtime.arithmetic, page]", "params: [page]", ["page"], ":runtime.arithmetic"),
        ("dvc.lock", "cmd: python make.py page", "cmd: python made.py page", ["page"], "the command"),
        ("dvc.lock", "page: plain", "page: plane", ["page"], "params.yaml:page"),
        ("dvc.lock", "nfiles: 4", "nfiles: 5", ["page"], "models"),
    ],
)
def test_what_a_stage_was_not_made_from_is_stale(finished_run: Path, name, old, new, stages, reason) -> None:
    text = (finished_run / name).read_text()
    assert text.count(old) == (2 if name == "dvc.lock" and old in text.partition("  page:")[0] else 1)
    (finished_run / name).write_text(text.replace(old, new))
    findings = list(verify(finished_run))
    assert {own.output.stage for own in findings if own.verdict == "stale"} == set(stages)
    assert {own.verdict for own in findings if own.output.stage not in stages} == {"identical"}
    assert all(
        own.difference.startswith("not as dvc.lock records it: ") and own.difference.endswith(reason)
        for own in findings
        if own.verdict == "stale"
    )


def test_a_dependency_that_no_stage_makes_is_hashed_as_dvc_does(finished_run: Path) -> None:
    (finished_run / "models/note.txt").write_text("")
    assert {path for path, verdict in verdicts(finished_run).items() if verdict == "stale"} == {
        "reports/index.html"
    }
    (finished_run / ".dvcignore").write_text("note.txt\n")
    assert verdicts(finished_run) == dict.fromkeys(PATHS, "identical")
    assert not (finished_run / ".dvc" / "lock").exists()

"""dvc.lock is taken whole or not at all."""

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.small_pipeline import OUTPUTS, lock_again, read_lock_file, write_lock_file

import recap.proof.lock
from recap.errors import InputError
from recap.proof.lock import read_lock

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says what DVC says of the small pipeline, without asking it."""
    monkeypatch.setattr(recap.proof.lock, "declared_outputs", lambda root: OUTPUTS)


def refusal(root: Path) -> str:
    with pytest.raises(
        InputError, match=r"dvc\.lock: expected (a (whole )?dvc\.lock|stages that ran on .*), received"
    ) as caught:
        read_lock(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_real_lock_is_read_in_its_order(finished_run: Path) -> None:
    outputs = read_lock(finished_run).outputs
    assert {(own.stage, own.path) for own in outputs} == {
        (stage, path) for stage, paths in OUTPUTS.items() for path in paths
    }
    locked = [own for entry in read_lock_file(finished_run)["stages"].values() for own in entry["outs"]]
    assert [(own.path, own.md5) for own in outputs] == [(own["path"], own["md5"]) for own in locked]


@pytest.mark.parametrize(
    "content", [None, b"", b"[", b"stages: 3\n", b"stages: [1]\n", b"a: b\n", b"\xff\n", b"\0"]
)
def test_what_is_no_lock_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "dvc.lock").write_bytes(content)
    refusal(tmp_path)


@pytest.mark.parametrize("stage", list(OUTPUTS))
def test_a_lock_without_a_stage_is_refused(finished_run: Path, declared: None, stage: str) -> None:
    content = read_lock_file(finished_run)
    del content["stages"][stage]
    write_lock_file(finished_run, content)
    assert f"nothing of the stages {stage}, which dvc.yaml declares" in refusal(finished_run)


def test_a_stage_that_dvc_yaml_gains_is_missed_in_the_lock(finished_run: Path) -> None:
    params = (finished_run / "params.yaml").read_text()
    (finished_run / "params.yaml").write_text(params.replace("[lstm, rnn]", "[lstm, rnn, transformer]"))
    assert "nothing of the stages train@transformer, evaluate@transformer" in refusal(finished_run)


def test_a_stage_that_dvc_yaml_no_longer_has_is_not_looked_at(finished_run: Path) -> None:
    params = (finished_run / "params.yaml").read_text()
    (finished_run / "params.yaml").write_text(params.replace("[lstm, rnn]", "[rnn]"))
    assert "train@lstm" not in {output.stage for output in read_lock(finished_run).outputs}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entry: entry.clear(), "fetch.cmd: expected a value, received nothing"),
        (lambda entry: entry.update(outs=[]), "nothing of data/raw, reports/fetch/metrics.json"),
        (lambda entry: entry.update(outs={"path": "data/raw"}), "fetch.outs: expected"),
        (lambda entry: entry.update(outs="data/raw"), "fetch.outs: expected"),
        (lambda entry: entry["outs"].pop(), "nothing of reports/fetch/metrics.json"),
        (lambda entry: entry["outs"].pop(0), "nothing of data/raw"),
        (lambda entry: entry["outs"].append(3), "fetch.outs.2: expected"),
        (lambda entry: entry["outs"].append({"md5": MD5}), "fetch.outs.2.path: expected a value"),
        (
            lambda entry: entry["outs"].append({"path": "x", "hash": "md5", "md5": MD5, "size": 3}),
            "x in the stage fetch, which dvc.yaml does not declare",
        ),
        (lambda entry: entry["outs"].append(dict(entry["outs"][0])), "data/raw in the stage fetch, twice"),
        (lambda entry: entry["outs"][0].pop("md5"), "fetch.outs.0.md5: expected a value"),
        (lambda entry: entry["outs"][0].update(path=7), "fetch.outs.0.path: expected text"),
        (lambda entry: entry["outs"][0].pop("size"), "fetch.outs.0.size: expected a value"),
        (lambda entry: entry["outs"][0].update(size=True), "fetch.outs.0.size: expected an integer"),
        (lambda entry: entry["outs"][0].update(size=-1), "fetch.outs.0.size: expected"),
        (lambda entry: entry["outs"][0].pop("hash"), "fetch.outs.0.hash: expected a value"),
        (lambda entry: entry["outs"][0].update(isexec=3), "fetch.outs.0.isexec: expected"),
        (lambda entry: entry["outs"][0].pop("nfiles"), "another number of files of data/raw"),
        (lambda entry: entry["outs"][1].update(nfiles=1), "another number of files of reports/fetch"),
        (lambda entry: entry["outs"][0].update(odd=1), "fetch.outs.0.odd: expected no such key"),
        (lambda entry: entry.update(odd=1), "fetch.odd: expected no such key"),
        (lambda entry: entry.pop("cmd"), "fetch.cmd: expected a value"),
        (lambda entry: entry.update(params=[]), "fetch.params: expected"),
        (lambda entry: entry.update(params={"params.yaml": 3}), "fetch.params.params.yaml: expected"),
        (
            lambda entry: entry.update(params={"params.yaml": {"runtime": 3}}),
            "no mapping as the params group",
        ),
    ]
    + [
        (lambda entry, md5=md5: entry["outs"][0].update(md5=md5), "fetch.outs.0.md5: expected")
        for md5 in (None, 3, "", MD5[:-1], MD5 + "0", MD5.upper(), MD5[:-1] + "g", MD5 + ".dirs", f"{MD5}\n")
    ],
)
def test_an_odd_entry_is_refused(
    finished_run: Path, declared: None, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    content = copy.deepcopy(read_lock_file(finished_run))
    change(content["stages"]["fetch"])
    write_lock_file(finished_run, content)
    assert reason in refusal(finished_run)


@pytest.mark.parametrize("change", [{"schema": "3.0"}, {"schema": 2.0}, {"odd": 1}])
def test_other_keys_beside_the_stages_are_refused(finished_run: Path, declared: None, change: Any) -> None:
    write_lock_file(finished_run, read_lock_file(finished_run) | change)
    assert "other keys than the stages and the schema 2.0" in refusal(finished_run)


@pytest.mark.parametrize("change", [{"md5": MD5 + ".dir"}, {"size": 1}, {"nfiles": 1}])
def test_a_stage_got_what_the_other_made(finished_run: Path, declared: None, change: dict[str, Any]) -> None:
    content = read_lock_file(finished_run)
    content["stages"]["train@rnn"]["deps"][0] |= change
    write_lock_file(finished_run, content)
    assert "received train@rnn, which ran on another data/raw" in refusal(finished_run)


@pytest.mark.parametrize("entry", [None, 3, []])
def test_an_entry_that_is_no_mapping_is_refused(finished_run: Path, declared: None, entry: Any) -> None:
    content = read_lock_file(finished_run)
    content["stages"]["page"] = entry
    write_lock_file(finished_run, content)
    assert "page: expected a group of settings" in refusal(finished_run)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_lock_that_is_cut_short_is_refused_or_has_all(finished_run: Path, declared: None, data) -> None:
    path = finished_run / "dvc.lock"
    whole = path.with_name("whole.lock")
    if not whole.exists():
        path.rename(whole)
    content = whole.read_bytes()
    path.write_bytes(content)
    outputs = read_lock(finished_run).outputs
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with contextlib.suppress(InputError):
        assert read_lock(finished_run).outputs == outputs


def test_a_last_line_without_its_end_is_cut_short(finished_run: Path, declared: None) -> None:
    path = finished_run / "dvc.lock"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert "one whose last line is cut short" in refusal(finished_run)


@pytest.mark.parametrize(
    ("runtime", "exact"),
    [
        ({"arithmetic": "portable", "threads": 2, "device": "cpu"}, True),
        ({"arithmetic": "native", "threads": 2, "device": "cpu"}, False),
        ({"arithmetic": "portable", "threads": 2, "device": "cuda"}, False),
        ({"threads": 2, "device": "cpu"}, False),
        ({}, False),
    ],
)
def test_what_a_stage_does_not_list_of_runtime_training_says(finished_run, declared, runtime, exact) -> None:
    lock_again(finished_run, runtime)
    lock = read_lock(finished_run)
    assert {stage: lock.is_exact(stage) for stage in OUTPUTS if stage != "fetch"} == dict.fromkeys(
        [stage for stage in OUTPUTS if stage != "fetch"], exact
    )
    assert lock.is_exact("a stage of another pipeline") == exact
    assert lock.runtime == {"arithmetic": "native"} | runtime


def test_a_lock_without_params_or_training_promises_nothing(finished_run: Path, monkeypatch) -> None:
    monkeypatch.setattr(recap.proof.lock, "declared_outputs", lambda root: {"fetch": OUTPUTS["fetch"]})
    content = read_lock_file(finished_run)
    content["stages"]["fetch"]["params"] = None
    write_lock_file(finished_run, content)
    assert read_lock(finished_run).runtime == {}
    assert not read_lock(finished_run).is_exact("fetch")


def test_where_trainings_differ_the_one_that_promises_less_counts(finished_run: Path, declared: None) -> None:
    content = read_lock_file(finished_run)
    content["stages"]["train@rnn"]["params"]["params.yaml"]["runtime"]["arithmetic"] = "native"
    write_lock_file(finished_run, content)
    lock = read_lock(finished_run)
    assert lock.runtime["arithmetic"] == "native"
    assert [lock.is_exact(stage) for stage in ("train@lstm", "train@rnn", "evaluate@lstm")] == [
        True,
        False,
        False,
    ]

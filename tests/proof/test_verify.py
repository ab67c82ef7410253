"""`recap verify`: every fault is found, tolerance is for runs that promise no bytes, and nothing else."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.small_pipeline import OUTPUTS, environment, lock_again, read_lock_file, write_lock_file

import recap.proof.lock
from recap.errors import InputError
from recap.proof.verify import ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE, compare, rerun, verify

PATHS = [path for paths in OUTPUTS.values() for path in paths]
PORTABLE = {"arithmetic": "portable", "threads": 2, "device": "cpu"}
NATIVE = {"arithmetic": "native", "threads": 2, "device": "cpu"}
CUDA = {"arithmetic": "portable", "threads": 2, "device": "cuda"}
UNSAID = {"threads": 2, "device": "cpu"}
TRAINED = "models/lstm"
METRICS = "reports/lstm/metrics.json"


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says what DVC says of the small pipeline, without asking it."""
    monkeypatch.setattr(recap.proof.lock, "declared_outputs", lambda root: OUTPUTS)


@pytest.fixture
def other_run(finished_run: Path, declared: None, tmp_path: Path) -> Callable[..., Path]:
    """Makes a second checkout: files rewritten, both locked again under settings."""

    def make(files: dict[str, str], ours: dict[str, Any] = PORTABLE, theirs: Any = None) -> Path:
        other = Path(shutil.copytree(finished_run, tmp_path / "other"))
        for name, text in files.items():
            (other / name).write_text(text)
        lock_again(finished_run, ours)
        lock_again(other, ours if theirs is None else theirs)
        return other

    return make


def verdicts(findings: Any) -> dict[str, str]:
    return {finding.output.path: finding.verdict for finding in findings}


def judged(finished_run: Path, other: Path) -> dict[str, str]:
    """What is not identical."""
    found = verdicts(compare(finished_run, other))
    return {path: verdict for path, verdict in found.items() if verdict != "identical"}


def metrics(**seen: Any) -> str:
    return json.dumps({"seen": {"cider_d": 1.0, "passed": True} | seen})


def test_untouched_outputs_are_identical(finished_run: Path) -> None:
    findings = list(verify(finished_run))
    assert [finding.output.path for finding in findings] == PATHS
    assert {finding.verdict for finding in findings} == {"identical"}
    assert all(finding.received == finding.output.md5 and not finding.difference for finding in findings)


@pytest.mark.parametrize("fault", ["edit", "same size and time", "extra file", "missing file", "renamed"])
def test_a_fault_inside_a_folder_is_found(finished_run: Path, declared: None, fault: str) -> None:
    path = finished_run / "data" / "raw" / "words.txt"
    if fault == "edit":
        path.write_text("changed\n")
    elif fault == "same size and time":
        before = path.stat()
        path.write_text("one\nten\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif fault == "extra file":
        path.with_name("more.txt").write_text("")
    elif fault == "missing file":
        path.unlink()
    else:
        path.rename(path.with_name("z.txt"))
    expected = dict.fromkeys(PATHS, "identical") | {"data/raw": "different"}
    assert verdicts(verify(finished_run)) == expected


@pytest.mark.parametrize("path", PATHS)
def test_a_missing_output_is_named(finished_run: Path, declared: None, path: str) -> None:
    target = finished_run / path
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    page = "stale" if path.startswith("models") else "identical"  # it depends on the folder of all models
    expected = dict.fromkeys(PATHS, "identical") | {"reports/index.html": page, path: "missing"}
    assert verdicts(verify(finished_run)) == expected


def test_equal_runs_are_identical_under_every_setting(finished_run: Path, other_run) -> None:
    other = other_run({}, NATIVE)
    assert verdicts(compare(finished_run, other)) == dict.fromkeys(PATHS, "identical")


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (PORTABLE, PORTABLE, "different"),
        (NATIVE, NATIVE, "equivalent"),
        (PORTABLE, NATIVE, "equivalent"),
        (NATIVE, PORTABLE, "equivalent"),
        (CUDA, CUDA, "equivalent"),
        (PORTABLE, CUDA, "equivalent"),
        (UNSAID, UNSAID, "equivalent"),
        (PORTABLE, UNSAID, "equivalent"),
        (PORTABLE, PORTABLE | {"threads": 4}, "different"),
    ],
)
def test_tolerance_is_for_runs_that_promise_no_bytes(finished_run, other_run, ours, theirs, verdict) -> None:
    files = {f"{TRAINED}/model.json": "{}", "reports/lstm/captions.json": "[]", "reports/index.html": ""}
    other = other_run(files, ours, theirs)
    # Captions follow the lock's training: their stage lists no `runtime`; the page's lists half of it.
    assert judged(finished_run, other) == {
        TRAINED: verdict, "reports/lstm/captions.json": verdict, "reports/index.html": verdict
    }  # fmt: skip


@pytest.mark.parametrize("runtime", [NATIVE, CUDA])
def test_fetched_data_is_never_equivalent(finished_run: Path, other_run, runtime) -> None:
    other = other_run({"data/raw/words.txt": "other\n", f"{TRAINED}/model.json": "{}"}, runtime)
    assert judged(finished_run, other) == {"data/raw": "different", TRAINED: "equivalent"}


@pytest.mark.parametrize(
    ("base", "value", "verdict"),
    [
        (10.0, 10.0 * (1 - RELATIVE_TOLERANCE), "equivalent"),
        (10.0, 10.0 * (1 - RELATIVE_TOLERANCE) - 1e-6, "different"),
        (-10.0, -10.0 * (1 - RELATIVE_TOLERANCE), "equivalent"),
        (10.0, -10.0, "different"),
        (0.0, ABSOLUTE_TOLERANCE, "equivalent"),
        (0.0, ABSOLUTE_TOLERANCE + 1e-9, "different"),
        (0.0, -ABSOLUTE_TOLERANCE, "equivalent"),
        (0.0, -ABSOLUTE_TOLERANCE - 1e-9, "different"),
        (0.1, 0.1 + ABSOLUTE_TOLERANCE - 1e-9, "equivalent"),  # beyond a tenth of it: either bound suffices
        (1, 1.05, "equivalent"),
        (1, "1", "different"),
        ("a", "b", "different"),
        (True, False, "different"),
        (True, 1.0, "different"),
        (None, 0.0, "different"),
        ([1.0], [1.0, 2.0], "different"),
    ],
)
def test_a_metric_is_judged_at_the_bounds(finished_run: Path, other_run, base, value, verdict) -> None:
    for path in ("reports/lstm", "reports/rnn"):
        (finished_run / path / "metrics.json").write_text(metrics(cider_d=base))
    other = other_run({METRICS: metrics(cider_d=value), f"{TRAINED}/model.json": "{}"}, NATIVE)
    assert judged(finished_run, other) == {METRICS: verdict, TRAINED: verdict}


def test_metrics_are_judged_file_by_file_and_other_outputs_by_all_of_them(finished_run, other_run) -> None:
    far = "reports/rnn/metrics.json"
    files = {METRICS: metrics(cider_d=1.01), far: metrics(cider_d=2.0), f"{TRAINED}/model.json": "{}"}
    other = other_run(files, NATIVE)
    assert judged(finished_run, other) == {TRAINED: "different", METRICS: "equivalent", far: "different"}


@pytest.mark.parametrize("text", [metrics(more=1.0), '{"seen": {"cider_d": 1.0}}', "{}", "[", "", "3"])
def test_metrics_with_other_keys_or_none_do_not_agree(finished_run: Path, other_run, text: str) -> None:
    other = other_run({METRICS: text, f"{TRAINED}/model.json": "{}"}, NATIVE)
    assert judged(finished_run, other) == {METRICS: "different", TRAINED: "different"}


@pytest.mark.parametrize("side", ["expected", "received"])
def test_metrics_that_are_not_there_do_not_agree(finished_run: Path, other_run, side: str) -> None:
    other = other_run({f"{TRAINED}/model.json": "{}"}, NATIVE)
    ((finished_run if side == "expected" else other) / METRICS).unlink()
    assert judged(finished_run, other) == {TRAINED: "different"}


def test_without_any_metrics_nothing_is_equivalent(finished_run, other_run, monkeypatch) -> None:
    few = {"train@lstm": [TRAINED]}
    monkeypatch.setattr(recap.proof.lock, "declared_outputs", lambda root: few)
    other = other_run({f"{TRAINED}/model.json": "{}"}, NATIVE)
    assert verdicts(compare(finished_run, other)) == {TRAINED: "different"}


def test_an_output_that_the_other_run_does_not_have_is_missing(finished_run, other_run, monkeypatch) -> None:
    other = other_run({})
    fewer = {stage: paths for stage, paths in OUTPUTS.items() if stage != "train@lstm"}
    monkeypatch.setattr(
        recap.proof.lock, "declared_outputs", lambda root: fewer if root == other else OUTPUTS
    )
    assert judged(finished_run, other) == {TRAINED: "missing"}


def test_a_broken_lock_of_either_checkout_is_refused(finished_run: Path, other_run) -> None:
    other = other_run({})
    (other / "dvc.lock").write_text("stages: 3\n")
    for checkouts in ((finished_run, other), (other, finished_run)):
        with pytest.raises(InputError, match=r"other/dvc\.lock: expected a dvc\.lock"):
            list(compare(*checkouts))


def test_the_first_difference_stands_beside_a_verdict(finished_run: Path, other_run) -> None:
    other = other_run({f"{TRAINED}/model.json": '{"name": "lstm", "weights": [0.5, 3.0]}'}, NATIVE)
    (finding,) = (own for own in compare(finished_run, other) if own.verdict != "identical")
    assert finding.difference == "model.json: weights[1]: expected 1.0, received 3.0"
    assert finding.received == read_lock_file(other)["stages"]["train@lstm"]["outs"][0]["md5"]


def test_outputs_of_a_decoder_that_is_no_longer_trained_are_not_missed(finished_run: Path) -> None:
    params = finished_run / "params.yaml"
    params.write_text(params.read_text().replace("[lstm, rnn]", "[lstm]"))
    for folder in ("models/rnn", "reports/rnn"):
        shutil.rmtree(finished_run / folder)
    expected = dict.fromkeys((path for path in PATHS if "/rnn" not in path), "identical")
    assert verdicts(verify(finished_run)) == expected | {"reports/index.html": "stale"}


@pytest.mark.slow
def test_a_fresh_run_is_compared_output_by_output(finished_run: Path) -> None:
    assert verdicts(rerun(finished_run, environment())) == dict.fromkeys(PATHS, "identical")
    # What git ignores is not in the fresh folder: a run that depends on it does not come out again.
    (finished_run / "found.txt").write_text("7.0")
    for name in ("lstm", "rnn"):
        model = {"name": name, "weights": [0.5, 7.0]}
        (finished_run / "models" / name / "model.json").write_text(json.dumps(model))
    lock_again(finished_run)
    findings = [finding for finding in rerun(finished_run, environment()) if finding.verdict != "identical"]
    assert [finding.output.path for finding in findings] == ["models/lstm", "models/rnn"]
    assert {finding.verdict for finding in findings} == {"different"}
    assert findings[0].difference == "model.json: weights[1]: expected 7.0, received 1.0"


@pytest.mark.slow
def test_a_pipeline_that_does_not_run_afresh_is_told(finished_run: Path) -> None:
    script = (finished_run / "make.py").read_text()
    (finished_run / "make.py").write_text(f"import sys\nsys.exit(3)\n{script}")
    with pytest.raises(InputError, match="expected a pipeline that runs, received exit code"):
        list(rerun(finished_run, environment()))


def test_a_rerun_needs_git(finished_run: Path) -> None:
    shutil.rmtree(finished_run / ".git")
    with pytest.raises(InputError, match="not a git repository") as caught:
        list(rerun(finished_run, environment()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["size", "nfiles"])
@pytest.mark.parametrize("more", [-1, 1])
def test_other_numbers_than_those_of_the_output_are_found(finished_run: Path, key: str, more: int) -> None:
    content = read_lock_file(finished_run)
    for entry in content["stages"].values():
        for file in [*entry["outs"], *entry.get("deps", [])]:
            if file["path"] == "data/raw":
                file[key] += more
    write_lock_file(finished_run, content)
    (finding,) = (own for own in verify(finished_run) if own.verdict != "identical")
    assert (finding.output.path, finding.verdict) == ("data/raw", "different")
    assert finding.difference.startswith("dvc.lock says ")


@pytest.mark.slow
def test_no_damaged_lock_is_content(finished_run: Path) -> None:
    """Lines deleted, doubled, cut and flipped: refused, or found, or the lock says the same as before."""
    whole = (finished_run / "dvc.lock").read_text()
    content = read_lock_file(finished_run)
    lines = whole.splitlines(keepends=True)
    draw = random.Random(0)
    damaged = ["".join(lines[:place]) for place in range(len(lines))]
    for place, line in enumerate(lines):
        before, after = "".join(lines[:place]), "".join(lines[place + 1 :])
        damaged += [before + after, before + line + line + after, before + line[2:] + after]
        for _ in range(4):
            column = draw.randrange(len(line))
            damaged.append(
                before + line[:column] + draw.choice("0a:-{[\"'\n #z") + line[column + 1 :] + after
            )
    for text in draw.sample(damaged, 150):
        (finished_run / "dvc.lock").write_text(text)
        try:
            found = set(verdicts(verify(finished_run)).values())
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
            continue
        assert found != {"identical"} or read_lock_file(finished_run) == content, text

"""Many runs: seeds and their comparison, through DVC's experiments, with kills."""

import importlib.util
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None,
    reason="needs optuna, which is absent (pip install -c requirements.lock optuna)",
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
KILLS = int(os.environ.get("RECAP_TEST_KILLS", "2"))
EDITS = (
    ("params.yaml", "rate: 1e-3", "rate: 1e-3\n  seed: 231"),
    ("dvc.yaml", "train.rate]", "train.rate, train.seed]"),
    (
        "dvc.yaml",
        "/captions.json\n",
        "/captions.json\n      - reports/decoders/${item.decoder}/per_image.json\n",
    ),
    ("stages/train.py", "write_text(str(width))", "write_text(str(width + CONFIG['train']['seed'] - 231))"),
    (
        "stages/train.py",
        '            run.log_metrics({"loss": loss}, step)\n',
        '            run.log_metrics({"loss": loss}, step)\n'
        "            told = f'validation loss {abs(width - 5) / 10 + 1 / step:.4f}, 3 captions/s'\n"
        "            print(f'{name}: epoch {step} of 5: {told}', file=sys.stderr, flush=True)\n",
    ),
    (
        "stages/train.py",
        '{"best_loss": losses[-1],',
        '{"validation_loss": abs(width - 5) / 10, "best_loss": losses[-1],',
    ),
    (
        "stages/evaluate.py",
        "        run.log_metrics",
        "        rows = [{'part': 'seen', 'cider_d': (width + row) / 10} for row in (-1, 0, 1)]\n"
        "        (folder / 'per_image.json').write_text(json.dumps(rows))\n"
        "        run.log_metrics",
    ),
)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory, make_checkout: Callable[[Path], Any]) -> Any:
    return make_seeded(make_checkout, tmp_path_factory.mktemp("seeds"))


def make_seeded(make_checkout: Callable[[Path], Any], folder: Path) -> Any:
    """The miniature pipeline with a seed, whose value each decoder's CIDEr-D follows; run and committed."""
    checkout = make_checkout(folder / "checkout")
    for name, old, new in EDITS:
        checkout.edit(old, new, name)
    checkout.dvc("repro")
    checkout.commit()
    return checkout


def experiments(checkout: Any) -> list[str]:
    lines = checkout.git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    return sorted(line.rpartition("/")[2] for line in lines if line.count("/") == 4)


def kill_at_random(checkout: Any, arguments: list[str], seconds: float, generator: random.Random) -> None:
    """Start a command and kill it, with all that it started, within so many seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "recap.cli", *arguments],
        cwd=checkout.root,
        env=checkout.environment | {"STEP_SECONDS": "0.5"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(generator.uniform(1, seconds))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_seeds_are_compared_and_go_on_after_kills(seeded: Any) -> None:
    before = seeded.git("status", "--short"), (seeded.root / "params.yaml").read_text()
    generator = random.Random(25)
    for _ in range(KILLS):
        kill_at_random(seeded, ["seeds", "2", "--output", "docs/seeds"], 30, generator)
    said = seeded.recap("seeds", "2", "--output", "docs/seeds").stdout
    names = experiments(seeded)
    assert [name.rpartition("-")[0] for name in names] == ["seed-231", "seed-232"]
    summary = json.loads((seeded.root / "docs/seeds.json").read_text())
    assert summary["runs"] == names
    assert summary["values"]["lstm"]["seen"]["cider_d"] == [0.2, 0.3]
    assert summary["values"]["rnn"]["seen"]["cider_d"] == [0.3, 0.4]
    (pair,) = summary["tests"]
    assert (pair["first"], pair["second"]) == ("rnn", "lstm")
    assert pair["mean"] == pytest.approx(0.1)
    assert pair["standard_error"] == pytest.approx(0)
    assert pair["p_value"] == pytest.approx(0.25, abs=0.02)  # of three images' signs, 2 of 8 are as extreme
    table = (seeded.root / "docs/seeds.md").read_text()
    assert "| CIDEr-D, test scenes with seen combinations | 0.35 ± 0.07 | 0.25 ± 0.07 |" in table
    assert all(name in table for name in names)
    assert r"0.35 ± 0.07 & 0.25 ± 0.07" in (seeded.root / "docs/seeds.tex").read_text()
    assert "0.25 ± 0.07" in said
    # the checkout is as it was
    assert seeded.git("status", "--short", "--", ".", ":!docs") == before[0]
    assert (seeded.root / "params.yaml").read_text() == before[1]

    runs = seeded.runs()
    (comparison,) = [run for run in runs.parents if "recap.comparison" in run.data.tags]
    assert comparison.data.metrics["lstm.seen.cider_d.mean"] == pytest.approx(0.25)
    curve = runs.client.get_metric_history(comparison.info.run_id, "rnn.seen.cider_d")
    assert [(point.step, point.value) for point in curve] == [(0, 0.3), (1, 0.4)]
    assert comparison.data.tags["mlflow.note.content"] + "\n" == table
    recorded = {run.info.run_name: run for run in runs.parents}
    for name, expected in zip(names, (0.2, 0.3), strict=True):
        assert recorded[name].data.metrics["lstm.cider_d"] == expected
        assert {"train/lstm", "train/rnn", "evaluate/lstm"} <= set(runs.children(recorded[name]))
    pages = [name for name in names if "report" in runs.children(recorded[name])]
    assert pages == names[:1], "the second seed has no page of its own"
    assert [recorded[name].info.status for name in names] == ["FINISHED", "SCHEDULED"]

    told = seeded.recap("seeds", "2", "--names").stdout
    assert told == f"{names[0]} 231\n{names[1]} 232\n"
    again = seeded.recap("seeds", "2", "--output", "docs/seeds")
    assert "Running stage" not in again.stdout + again.stderr
    assert experiments(seeded) == names
    assert len(seeded.runs().all) == len(runs.all)


def test_a_decoder_that_is_named_no_more_has_no_scores(
    make_checkout: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkout = make_seeded(make_checkout, tmp_path)
    checkout.edit("decoders: [lstm, rnn]", "decoders: [lstm]")
    refused = checkout.recap("seeds", "2", "--names", code=2)
    assert refused.stderr.endswith(
        "expected code and settings of the last commit, which jobs clone; received changes of params.yaml\n"
    )
    assert refused.stdout == ""
    checkout.commit()
    hold = "import sys, time, zc.lockfile; lock = zc.lockfile.LockFile(sys.argv[1]); print(); time.sleep(9)"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(checkout.root / ".dvc" / "tmp" / "lock")], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        checkout.recap("seeds", "2", "--output", "docs/seeds")
    summary = json.loads((checkout.root / "docs/seeds.json").read_text())
    assert list(summary["values"]) == ["lstm"], "dvc.lock still has the entries of the RNN"
    assert summary["values"]["lstm"]["seen"]["cider_d"] == [0.2, 0.3]
    assert "RNN" not in (checkout.root / "docs/seeds.md").read_text()

    name = experiments(checkout)[1]
    revision = name_of(checkout, name).strip()
    reference = checkout.git("for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").strip()
    checkout.git("update-ref", reference, name_of(checkout, experiments(checkout)[0]).strip(), revision)
    other = checkout.recap("seeds", "2", "--output", "docs/seeds", code=2)
    assert f"{name}: expected an experiment with train.seed 232, received one with 231" in other.stderr


@pytest.mark.parametrize("is_dirty", [False, True])
def test_a_kill_while_dvc_takes_the_checkout_for_a_moment_changes_nothing(
    make_checkout: Callable[[Path], Any], tmp_path: Path, is_dirty: bool
) -> None:
    checkout = make_seeded(make_checkout, tmp_path)
    if is_dirty:
        checkout.edit("rate: 1e-3", "rate: 2e-3")
    head = checkout.root / ".git" / "HEAD"
    before = head.read_text(), (checkout.root / "params.yaml").read_text(), checkout.git("status", "--short")
    changed = 0
    for delay in (0.0, 0.1, 0.2, 0.4):
        process = subprocess.Popen(
            [sys.executable, "-m", "recap.cli", "seeds", "1", "--output", "docs/seeds"],
            cwd=checkout.root,
            env=checkout.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while head.read_text().startswith("ref: ") and process.poll() is None:
            time.sleep(0.001)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        changed += not head.read_text().startswith("ref: ")
    assert changed, "no kill came while DVC had left the branch"
    checkout.recap("seeds", "1", "--output", "docs/seeds")
    summary = json.loads((checkout.root / "docs/seeds.json").read_text())
    assert [name.rpartition("-")[0] for name in summary["runs"]] == ["seed-231"]
    assert head.read_text() == before[0]
    assert (checkout.root / "params.yaml").read_text() == before[1]
    assert checkout.git("status", "--short", "--", ".", ":!docs") == before[2]
    assert checkout.git("stash", "list") == ""


def test_a_colleague_takes_seeds_instead_of_running_them(
    make_checkout: Callable[[Path], Any], tmp_path: Path
) -> None:
    checkout = make_seeded(make_checkout, tmp_path)
    checkout.git("init", "--quiet", "--bare", str(tmp_path / "origin"))
    checkout.git("remote", "add", "origin", str(tmp_path / "origin"))
    checkout.dvc("remote", "add", "--default", "outputs", str(tmp_path / "outputs"))
    checkout.commit()
    checkout.git("push", "--quiet", "origin", "HEAD")
    checkout.recap("seeds", "2", "--output", "docs/seeds")
    checkout.dvc("exp", "push", "origin", "--all-commits")
    checkout.git("clone", "--quiet", str(tmp_path / "origin"), str(tmp_path / "clone"))
    clone = type(checkout)(tmp_path / "clone", dict(checkout.environment))
    clone.dvc("exp", "pull", "origin", "--all-commits")
    said = clone.recap("seeds", "2", "--output", "docs/seeds")
    assert "Running stage" not in said.stdout + said.stderr
    files = [(own.root / "docs/seeds.json").read_bytes() for own in (checkout, clone)]
    assert files[0] == files[1]


@needs_optuna
def test_a_sweep_finds_the_best_setting_and_loses_no_trial_to_kills(seeded: Any) -> None:
    write_sweep(seeded, "width", trials=3, prune_after="null", low=2, high=9)
    generator, ran = random.Random(7), experiments(seeded)
    for _ in range(KILLS):
        kill_at_random(seeded, ["sweep", "sweep.yaml"], 40, generator)
    said = seeded.recap("sweep", "sweep.yaml").stdout
    trials = read_trials(seeded, "width")
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    names = [trial.user_attrs["experiment"] for trial in trials]
    assert sorted(names) == sorted(set(experiments(seeded)) - set(ran))
    for trial, name in zip(trials, names, strict=True):
        width = trial.params["train.lstm.width"]
        assert trial.value == abs(width - 5) / 10
        assert f"width: {width}\n" in seeded.git("show", f"{name_of(seeded, name)}:params.yaml")
    best = min(trials, key=lambda trial: trial.value)
    assert f"best: {best.user_attrs['experiment']}" in said
    assert "Running stage" not in seeded.recap("sweep", "sweep.yaml").stdout
    assert len(experiments(seeded)) == len(ran) + 3

    storage = seeded.root / ".recap" / "sweeps" / "width.db"
    storage.unlink()
    again = seeded.recap("sweep", "sweep.yaml").stdout
    assert "Running stage" not in again, "the same proposals, whose experiments are there"
    assert again.splitlines()[-1] == said.splitlines()[-1]
    write_sweep(seeded, "width", trials=1, prune_after="null", low=4, high=9)
    (fresh,) = set(read_names(seeded.recap("sweep", "sweep.yaml").stdout))
    assert fresh not in names, "other proposals are another study"
    storage.write_bytes(b"no database")
    refused = seeded.recap("sweep", "sweep.yaml", code=2).stderr
    assert "width.db: expected the storage of Optuna, received: " in refused
    assert "Traceback" not in refused


@needs_optuna
@pytest.mark.long
def test_a_trial_that_is_worse_than_half_of_the_others_is_cut_short(seeded: Any) -> None:
    write_sweep(seeded, "pruned", trials=9, prune_after=2, low=2, high=40)
    generator, ran = random.Random(8), experiments(seeded)
    for _ in range(KILLS):
        kill_at_random(seeded, ["sweep", "sweep.yaml"], 60, generator)
    seeded.environment["STEP_SECONDS"] = "1"
    said = seeded.recap("sweep", "sweep.yaml").stdout
    trials = read_trials(seeded, "pruned")
    states = [trial.state.name for trial in trials]
    assert len(trials) == 9
    assert states[:5] == 5 * ["COMPLETE"]
    assert "PRUNED" in states
    finished = []
    for trial, state in zip(trials, states, strict=True):
        loss = abs(trial.params["train.lstm.width"] - 5) / 10
        if state == "COMPLETE":
            finished.append(loss)
        else:
            assert loss > statistics.median(finished)
            assert set(trial.intermediate_values) == {1, 2}, "it ends after two epochs"
    kept = {trial.user_attrs["experiment"] for trial in trials if trial.state.name == "COMPLETE"}
    assert kept == set(experiments(seeded)) - set(ran)
    best = min(trials, key=lambda trial: abs(trial.params["train.lstm.width"] - 5))
    assert f"best: {best.user_attrs['experiment']}" in said
    cut = next(trial.user_attrs["experiment"] for trial in trials if trial.state.name == "PRUNED")
    runs = seeded.runs()
    (parent,) = [run for run in runs.parents if run.info.run_name == cut]
    assert {run.info.status for run in runs.children(parent)["train/lstm"]} <= {"KILLED", "FAILED"}
    left = list((seeded.root / ".dvc" / "tmp" / "exps" / "standalone").glob("tmp*"))
    assert len(left) <= 3 * KILLS, "DVC tidies up after a trial that is cut, though not after kill -9"


def write_sweep(
    checkout: Any, name: str, *, trials: int, prune_after: int | str, low: int, high: int
) -> None:
    text = f"name: {name}\ndecoder: lstm\ntrials: {trials}\nprune_after: {prune_after}\nseed: 7\n"
    space = f"space:\n  train.lstm.width: {{low: {low}, high: {high}}}\n"
    (checkout.root / "sweep.yaml").write_text(text + space)


def read_names(said: str) -> list[str]:
    """The experiments that a sweep tells of."""
    return re.findall(r"^(\S+): train\.lstm\.width", said, re.MULTILINE)


def read_trials(checkout: Any, name: str) -> list[Any]:
    import optuna

    storage = f"sqlite:///{checkout.root}/.recap/sweeps/{name}.db"
    (study,) = optuna.get_all_study_summaries(storage)
    return list(optuna.load_study(study_name=study.study_name, storage=storage).get_trials())


def name_of(checkout: Any, experiment: str) -> str:
    """The commit of an experiment."""
    return checkout.git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{experiment}")

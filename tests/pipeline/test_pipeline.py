"""The real pipeline in small: every stage, run by DVC in a copy of the checkout, with MLflow beside it."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

import recap
from recap.core.config import load
from recap.core.feature_files import open_features
from recap.core.raw_data import load_raw
from recap.decoders.build import load_decoder
from recap.decoding.generate import generate
from recap.decoding.minimum_bayes_risk import Consensus
from recap.decoding.neighbours import Neighbours, captions_of_images
from recap.decoding.searches import make_constraints
from recap.evaluation.config import EvaluateConfig
from recap.evaluation.evaluate_decoder import evaluate_decoder
from recap.metrics.cider_d import InverseFrequency
from recap.proof.lock import read_lock
from recap.proof.verify import verify
from recap.text.batches import CaptionedFeatures
from recap.text.captions import load_captions

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "data": {"scenes": {"train_images": 120, "validation_images": 24, "test_images": 24}},
    "backbone": {"crop_steps": 10, "steps": 20, "batch_size": 16},
    "reduce": {"components": 32},
    "decoders": {name: {"epochs": 1} for name in ("rnn", "lstm", "transformer")},
    "sanity": {"captions": 4},
    "visualize": {"images": 2, "heads": ["first_digit"], "fooled_images": 2, "worded_images": 2},
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def merge(values: dict, changes: dict) -> None:
    for key, change in changes.items():
        if isinstance(change, dict):
            merge(values[key], change)
        else:
            values[key] = change


def change_params(folder: Path, changes: dict) -> None:
    yaml = YAML()
    values = yaml.load(folder / "params.yaml")
    merge(values, changes)
    yaml.dump(values, folder / "params.yaml")


def copy_checkout(target: Path) -> Path:
    """The tracked files as they are in the working tree, in a new repository, with small params."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listing.stdout.split("\0"):
        if name and name != "dvc.lock" and not name.startswith("tests/") and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    change_params(target, SMALL)
    git(target, "init", "--quiet")
    git(target, "add", "--all")
    git(target, "commit", "--quiet", "-m", "Small run")
    return target


def dvc(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | environment
    variables.pop("DVC_ROOT", None)
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def stages_run(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert result.returncode == 0, result.stdout + result.stderr
    return re.findall(r"Running stage '(.+?)'", result.stdout)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose pipeline has run once, logged to its own MLflow store."""
    folder = copy_checkout(tmp_path_factory.mktemp("pipeline") / "with space")
    assert len(stages_run(dvc(folder, "repro"))) == 15
    return folder


def test_every_output_is_there_and_verified(checkout: Path) -> None:
    verdicts = [finding.verdict for finding in verify(checkout)]
    assert len(verdicts) > 20
    assert set(verdicts) == {"identical"}


def test_a_second_run_runs_nothing(checkout: Path) -> None:
    assert stages_run(dvc(checkout, "repro")) == []


def test_no_output_names_the_place_or_the_machine(checkout: Path) -> None:
    import platform

    # A short host name occurs in compressed bytes by chance.
    secrets = [name.encode() for name in (str(checkout), platform.node()) if len(name) >= 8]
    for output in read_lock(checkout).outputs:
        path = checkout / output.path
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            content = file.read_bytes() if file.is_file() else b""
            assert not any(secret in content for secret in secrets), file


def test_every_picture_of_words_explains_a_caption_that_was_scored(checkout: Path) -> None:
    images = load_raw(checkout / "data" / "raw").captions("test")["images"]
    numbers = {image["file_name"]: image["id"] for image in images}
    entries = json.loads((checkout / "reports" / "vision" / "index.json").read_bytes())
    explained = [entry for entry in entries if entry["kind"] in ("word_saliency", "attention")]
    assert {entry["decoder"] for entry in explained} == {"rnn", "lstm", "transformer"}
    for entry in explained:
        rows = json.loads(
            (checkout / "reports" / "decoders" / entry["decoder"] / "captions.json").read_bytes()
        )
        scored = {row["image_id"]: row["caption"] for row in rows}
        assert entry["caption"] == scored[numbers[entry["image"]]]


def test_python_captions_as_the_pipeline_did(checkout: Path) -> None:
    """But for rounding: the stages compute portably, and features in other batches."""
    paths = load_raw(checkout / "data" / "raw").image_paths("test")
    for name in ("rnn", "lstm", "transformer"):
        rows = json.loads((checkout / "reports" / "decoders" / name / "captions.json").read_bytes())
        captions = recap.load(checkout / "models" / name).caption(paths)
        same = [caption.text == row["caption"] for caption, row in zip(captions, rows, strict=True)]
        assert sum(same) >= 0.9 * len(same)


def test_a_consensus_asks_what_the_training_images_were_called(checkout: Path) -> None:
    config = load(checkout / "params.yaml", EvaluateConfig)
    changes = {
        "search": "consensus",
        "candidates": 9,
        "pseudo_references": 4,
        "neighbours": 3,
        "temperature": 1.5,
    }
    decoding = dataclasses.replace(config.decoding, **changes)
    data, reduced, model = checkout / "data", checkout / "data" / "reduced", checkout / "models" / "lstm"
    evaluation = evaluate_decoder(
        model,
        data / "raw",
        data / "captions",
        reduced,
        dataclasses.replace(config, decoding=decoding),
        torch.device("cpu"),
    )
    captions = load_captions(data / "captions")
    training = CaptionedFeatures(*captions.of("train"), np.array(open_features(reduced / "train.h5")))
    said = captions_of_images(training)
    idf = InverseFrequency(list(said.values()))
    asked = Consensus(idf, 9, 1.5, 4, decoding.pseudo_reference_temperature, decoding.seed, None)
    found = []
    for search in (dataclasses.replace(asked, neighbours=Neighbours(said, training.features, 3)), asked):
        written = generate(
            load_decoder(model),
            open_features(reduced / "test.h5"),
            captions.vocabulary,
            make_constraints(decoding, captions.vocabulary),
            config.batch_size,
            search,
            [row["image_id"] for row in evaluation.results],
        )
        found.append([caption.text for caption in written])
    assert [row["caption"] for row in evaluation.results] == found[0] != found[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own
def test_every_stage_is_in_mlflow(checkout: Path) -> None:
    from mlflow.tracking import MlflowClient

    subprocess.run([sys.executable, "-m", "recap.cli", "sync"], cwd=checkout, check=True, capture_output=True)
    client = MlflowClient(f"sqlite:///{checkout}/mlflow.db")
    experiment = client.get_experiment_by_name("recap")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = {run.data.tags["recap.stage"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    decoders = ("rnn", "lstm", "transformer")
    assert set(children) == {
        "fetch", "tokenize", "backbone", "extract", "reduce", "sanity", "visualize", "report",
        *(f"{stage}/{decoder}" for stage in ("train", "evaluate") for decoder in decoders),
    }  # fmt: skip
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert {f"{decoder}.seen.cider_d" for decoder in decoders} <= set(parent.data.metrics)
    for stage, run in children.items():
        assert run.data.metrics or stage == "report"
        assert run.data.params


def test_another_place_without_tracking_gives_the_same_lock(checkout: Path, tmp_path: Path) -> None:
    other = copy_checkout(tmp_path / "elsewhere")
    stages_run(dvc(other, "repro", RECAP_TRACKING="off"))
    assert not (other / "mlflow.db").exists()
    assert (other / "dvc.lock").read_bytes() == (checkout / "dvc.lock").read_bytes()


def test_an_edit_reruns_what_depends_on_it_and_nothing_else(checkout: Path) -> None:
    change_params(checkout, {"decoders": {"lstm": {"hidden_dim": 64}}})
    ran = stages_run(dvc(checkout, "repro"))
    assert {"train@lstm", "evaluate@lstm", "report"} <= set(ran)
    assert {
        "fetch",
        "tokenize",
        "backbone",
        "extract",
        "reduce",
        "train@rnn",
        "evaluate@transformer",
    }.isdisjoint(ran)

    module = checkout / "src" / "recap" / "report" / "page.py"
    module.write_text(module.read_text() + "\n# an edit\n")
    assert stages_run(dvc(checkout, "repro")) == ["report"]

    module = checkout / "src" / "recap" / "tracking" / "stage.py"
    module.write_text(module.read_text() + "\n# an edit\n")
    assert stages_run(dvc(checkout, "repro")) == []


def test_a_decoder_less_leaves_nothing_stale_and_nothing_missing(checkout: Path) -> None:
    own = [checkout / "models" / "lstm-best" / "model.json", checkout / "reports" / "decoders" / "notes"]
    shutil.copytree(checkout / "models" / "lstm", own[0].parent)
    own[1].write_text("my notes")
    params = (checkout / "params.yaml").read_text()
    try:
        change_params(checkout, {"decoders": {"names": ["lstm", "transformer"]}})
        assert set(stages_run(dvc(checkout, "repro"))) == {"visualize", "report", "record"}
        assert stages_run(dvc(checkout, "repro")) == []
        assert {finding.verdict for finding in verify(checkout)} == {"identical"}
        assert not (checkout / "models" / "rnn").exists()
        assert all(path.is_file() for path in own)
    finally:
        (checkout / "params.yaml").write_text(params)


def test_a_mistake_in_params_ends_in_its_line_and_changes_nothing(checkout: Path) -> None:
    before = (checkout / "dvc.lock").read_bytes()
    params = (checkout / "params.yaml").read_text()
    try:
        change_params(checkout, {"tokenize": {"min_count": 0}, "report": {"gallery_images": "many"}})
        result = dvc(checkout, "repro")
        assert result.returncode != 0
        lines = [line for line in result.stderr.splitlines() if line.startswith("params.yaml:")]
        assert lines == [
            "params.yaml: tokenize.min_count: expected a positive integer, received 0",
            'params.yaml: report.gallery_images: expected an integer, received "many"',
        ]
        assert "Traceback" not in result.stderr
        assert (checkout / "dvc.lock").read_bytes() == before
    finally:
        (checkout / "params.yaml").write_text(params)

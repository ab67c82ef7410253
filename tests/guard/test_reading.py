"""What a stage made belongs to what it read: an edit in mid-run fails it, before DVC records anything."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from recap.core.hashes import hash_file


def run_cache(root: Path) -> list[Path]:
    """What DVC remembers of runs of the stage `train`."""
    runs = root / ".dvc" / "cache" / "runs"
    return [path for path in runs.rglob("*") if path.is_file() and "run.sh train" in path.read_text()]


CHANGED = [
    *("train.seed", "decoders.lstm.epochs", "src/helper.py", "src/words/more.py", "src/words/new.py"),
    *("stages/train.py", "data/in.txt"),
]
DVC = (sys.executable, "-m", "dvc")


@pytest.mark.parametrize("changed", CHANGED)
def test_an_edit_while_a_stage_runs_fails_it_and_is_named(checkout: Any, edits: Any, changed: str) -> None:
    process = checkout.start_stage()
    edits[changed]()
    checkout.go_on()
    said = process.communicate()[0]
    assert process.returncode == 2
    assert said == (
        f"train@lstm: expected what it reads to stay as it was while it ran, received another {changed}; "
        "its outputs are not recorded, run it again\n"
    )


@pytest.mark.parametrize("variables", [{"WORLD_SIZE": "1"}, {"WORLD_SIZE": "abc"}, {"PET_NODE_RANK": "1"}])
def test_variables_of_a_cluster_take_no_guard_away(
    checkout: Any, edits: Any, variables: dict[str, str]
) -> None:
    process = checkout.start_stage(**variables)
    edits["train.seed"]()
    checkout.go_on()
    assert "received another train.seed" in process.communicate()[0]
    assert process.returncode == 2


def test_a_file_that_goes_or_comes_is_a_change(checkout: Any) -> None:
    process = checkout.start_stage()
    (checkout.root / "data" / "more.txt").touch()
    (checkout.root / "src" / "helper.py").unlink()
    checkout.go_on()
    assert "received another src/helper.py, data/more.txt;" in process.communicate()[0]


def test_what_the_stage_does_not_read_may_be_edited(checkout: Any) -> None:
    process = checkout.start_stage()
    checkout.set({"rnn": {"epochs": 1}}, patience=4)
    (checkout.root / "src" / "more.py").write_text("")
    (checkout.root / "src" / "words" / "__pycache__").mkdir()
    (checkout.root / "src" / "words" / "__pycache__" / "more.pyc").write_bytes(b"compiled")
    (checkout.root / "src" / "helper.py").touch()
    checkout.go_on()
    assert process.communicate()[0] == ""
    assert process.returncode == 0


def give_file(checkout: Any, content: str) -> Path:
    """A file of the user's that a setting names and the stage depends on, as the stage `inputs` saw it."""
    mine = checkout.root.parent / "names.txt"
    mine.write_text(content)
    params = YAML(typ="safe", pure=True).load(checkout.root / "params.yaml")
    params["features"]["class_names"] = "../names.txt"
    (checkout.root / "params.yaml").write_text(json.dumps(params))
    (checkout.root / "inputs").mkdir()
    digests = {"features.class_names": hash_file(mine), "features.weights": None}
    (checkout.root / "inputs" / "mine.json").write_text(json.dumps(digests))
    pipeline = checkout.root / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("src/helper.py,", "inputs/mine.json, src/helper.py,"))
    return mine


def test_a_file_of_the_user_may_not_change_while_it_is_read(checkout: Any) -> None:
    mine = give_file(checkout, "one")
    process = checkout.start_stage()
    mine.write_text("two")
    checkout.go_on()
    assert "received another ../names.txt;" in process.communicate()[0]
    assert process.returncode == 2


def test_nor_between_its_digest_and_the_stage(checkout: Any) -> None:
    give_file(checkout, "one").write_text("two")
    process = checkout.run_in_background("sh", "stages/run.sh", "train", "lstm")
    assert process.communicate()[0] == (
        "train@lstm: expected the files of features.class_names as DVC found them, "
        "received others; run it again\n"
    )
    assert process.returncode == 2


@pytest.mark.slow
def test_dvc_records_nothing_of_it_and_runs_old_code_again(checkout: Any, edits: Any) -> None:
    process = checkout.start(*DVC, "repro")
    edits["src/helper.py"]()
    checkout.go_on()
    said = process.communicate()[0]
    assert process.returncode != 0
    assert "Traceback" not in said
    assert "train@lstm" not in checkout.locked()
    assert run_cache(checkout.root) == []
    for word in ("other ", "made of "):
        (checkout.root / "src" / "helper.py").write_text(f"word = {word!r}\n")
        assert checkout.dvc("repro").returncode == 0
        assert checkout.output() == f"{word}given by 231"


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--temp"]])
def test_an_experiment_is_guarded_alike(checkout: Any, options: list[str]) -> None:
    process = checkout.start(*DVC, "exp", "run", *options)
    stage = int((checkout.root / "started").read_text())
    (Path(f"/proc/{stage}/cwd").resolve() / "src" / "helper.py").write_text('word = "other "\n')
    checkout.go_on()
    said = process.communicate()[0]
    assert process.returncode != 0
    assert "another src/helper.py;" in said
    assert run_cache(checkout.root) == []

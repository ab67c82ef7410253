"""The stage's work: it learns, it repeats to the bit, it goes on after a kill, it says what is wrong."""

import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.imports import ROOT
from tests.settings import training_settings

import recap
from recap.core.feature_files import open_features, write_features
from recap.decoders.build import NAMES, load_decoder
from recap.errors import InputError
from recap.runtime.checkpoints import KEPT, Checkpoints
from recap.runtime.fingerprint import fingerprint
from recap.text.captions import load_captions
from recap.training.loop import CaptionedFeatures, mean_loss
from recap.training.state import TrainingState
from recap.training.train import train

FILES = ("history.csv", "history_steps.csv", "model.json", "summary.json", "weights.safetensors")

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from tests.imports import ROOT
from tests.settings import training_settings
from recap.runtime.setup import configure
from recap.runtime.config import RuntimeConfig
from recap.runtime import checkpoints
from recap.training.train import train
name, task, output, params, threads, seconds = sys.argv[1:]
device = configure(RuntimeConfig("native", int(threads), "cpu"))
keep_checkpoints = checkpoints.Checkpoints.__init__
checkpoints.Checkpoints.__init__ = (
    lambda self, folder, worker: keep_checkpoints(self, folder, float(seconds), worker)
)
settings = training_settings(json.loads(params), name)
task, output = Path(task), Path(output)
train(name, task / "raw", task / "captions", task / "features", output / name, *settings, device,
      lambda metrics, step: None, output / "checkpoints")
"""


def run(name: str, task: Path, output: Path, params: dict[str, Any], **changes: Any) -> dict[str, float]:
    decoders = params["decoders"] | {name: params["decoders"][name] | changes}
    return train(
        name,
        task / "raw",
        task / "captions",
        task / "features",
        output / name,
        *training_settings({**params, "decoders": decoders}, name),
        torch.device("cpu"),
        lambda metrics, step: None,
        output / "checkpoints",
    )


def command(
    name: str, task: Path, output: Path, params: dict[str, Any], seconds: float = 30.0, threads: int = 1
) -> list[str]:
    arguments = [name, str(task), str(output), json.dumps(params), str(threads), str(seconds)]
    return [sys.executable, "-c", SCRIPT, *arguments]


def digests(folder: Path) -> dict[str, str]:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_learns_what_it_is_shown(name: str, task: Path, tmp_path: Path, params: dict) -> None:
    summary = run(name, task, tmp_path, params, epochs=15)
    epochs = rows(tmp_path / name / "history.csv")
    steps = rows(tmp_path / name / "history_steps.csv")
    assert [int(row["epoch"]) for row in epochs] == list(range(1, len(epochs) + 1))
    assert [int(row["step"]) for row in steps] == list(range(1, len(epochs) * 15 + 1))
    assert float(epochs[-1]["training_loss"]) < 0.7 * float(epochs[0]["training_loss"])
    best = min(epochs, key=lambda row: float(row["validation_loss"]))
    assert summary["validation_loss"] == float(best["validation_loss"])
    assert summary["best_epoch"] == int(best["epoch"])
    decoder = load_decoder(tmp_path / name)
    data = _split(task, "validation")
    assert mean_loss(decoder, data, 7) == pytest.approx(summary["validation_loss"], abs=1e-5)
    # the words of one image, the feature of another
    wrong = CaptionedFeatures(data.captions, data.image_rows, np.roll(data.features, 1, axis=0))
    assert mean_loss(decoder, wrong, 80) > mean_loss(decoder, data, 80) + 0.3


def _split(task: Path, split: str) -> CaptionedFeatures:
    captions = load_captions(task / "captions")
    return CaptionedFeatures(*captions.of(split), open_features(task / "features" / f"{split}.h5"))


def test_training_stops_early_and_keeps_the_best_weights(task: Path, tmp_path: Path, params: dict) -> None:
    params["train"]["patience"] = 2
    folder = tmp_path / "task"
    (folder / "features").mkdir(parents=True)
    for name in ("raw", "captions"):
        (folder / name).symlink_to(task / name)
    (folder / "features" / "train.h5").symlink_to(task / "features" / "train.h5")
    # features that say the contrary of the captions: what is learnt makes the validation loss worse
    features = open_features(task / "features" / "validation.h5")
    write_features(folder / "features" / "validation.h5", np.roll(features, 1, axis=1))
    summary = run("lstm", folder, tmp_path, params, epochs=20, learning_rate=0.03)
    assert summary["epochs"] < 20
    assert summary["epochs"] - summary["best_epoch"] == 2
    decoder = load_decoder(tmp_path / "lstm")
    assert mean_loss(decoder, _split(folder, "validation"), 16) == summary["validation_loss"]


def test_live_metrics_are_those_of_the_history(task: Path, tmp_path: Path, params: dict) -> None:
    received: list[tuple[dict[str, float], int]] = []
    train(
        "rnn",
        task / "raw",
        task / "captions",
        task / "features",
        tmp_path / "rnn",
        *training_settings(params, "rnn"),
        torch.device("cpu"),
        lambda metrics, step: received.append((metrics, step)),
        tmp_path / "checkpoints",
    )
    losses = {step: metrics["loss"] for metrics, step in received if "loss" in metrics}
    assert losses == {
        int(row["step"]): float(row["loss"]) for row in rows(tmp_path / "rnn/history_steps.csv")
    }
    epochs = {step: metrics["validation_loss"] for metrics, step in received if "loss" not in metrics}
    assert epochs == {
        int(row["epoch"]): float(row["validation_loss"]) for row in rows(tmp_path / "rnn/history.csv")
    }


def test_an_unknown_decoder_is_told(params: dict) -> None:
    with pytest.raises(InputError, match=r"expected one of rnn, lstm, .*, received 'gru'"):
        training_settings(params, "gru")


def test_a_loss_that_is_not_finite_is_told(task: Path, tmp_path: Path, params: dict) -> None:
    folder = tmp_path / "task"
    (folder / "features").mkdir(parents=True)
    for name in ("raw", "captions"):
        (folder / name).symlink_to(task / name)
    features = np.array(open_features(task / "features" / "train.h5"))
    write_features(folder / "features" / "train.h5", np.full_like(features, np.inf))
    (folder / "features" / "validation.h5").symlink_to(task / "features" / "validation.h5")
    with pytest.raises(InputError, match=r"decoders\.rnn\.learning_rate: expected a finite training loss"):
        run("rnn", folder, tmp_path, params)
    assert not (tmp_path / "rnn").exists()


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_give_the_same_bytes(name: str, task: Path, tmp_path: Path, params: dict) -> None:
    run(name, task, tmp_path / "first", params)
    subprocess.run(command(name, task, tmp_path / "second", params), check=True, capture_output=True)
    assert digests(tmp_path / "first" / name) == digests(tmp_path / "second" / name)
    assert not list((tmp_path / "first" / "checkpoints").glob("*/*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_give_the_same_bytes_on_two_threads(
    name: str, task: Path, tmp_path: Path, params: dict
) -> None:
    params["train"]["batch_size"] = 64
    params["decoders"]["transformer"] |= {"wordvec_dim": 128, "feedforward_dim": 512}
    for kind in ("rnn", "lstm"):  # so wide that threads share each product
        params["decoders"][kind] |= {"wordvec_dim": 128, "hidden_dim": 256}
    params["decoders"][name]["epochs"] = 2
    found = []
    for place in ("first", "second"):
        made = subprocess.run(command(name, task, tmp_path / place, params, threads=2), capture_output=True)
        assert made.returncode == 0, made.stderr
        found.append(digests(tmp_path / place / name))
    assert found[0] == found[1]


class _Killed(Exception):
    pass


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kills", [[1], [2, 3], [4]])
def test_a_resumed_run_gives_the_same_bytes(
    name: str, kills: list[int], task: Path, tmp_path: Path, params: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    params["train"]["batch_size"] = 4  # several checkpoints an epoch
    run(name, task, tmp_path / "whole", params, epochs=2)

    saved = 0

    def save_and_die(self: Checkpoints, state: TrainingState) -> None:
        nonlocal saved
        saved += 1
        self.save(state)
        if saved in kills:
            raise _Killed

    monkeypatch.setattr(Checkpoints, "save_now_and_then", save_and_die)
    for _ in kills:
        with pytest.raises(_Killed):
            run(name, task, tmp_path / "killed", params, epochs=2)
    run(name, task, tmp_path / "killed", params, epochs=2)
    assert digests(tmp_path / "killed" / name) == digests(tmp_path / "whole" / name)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_killed_at_any_moment_gives_the_same_bytes(
    name: str,
    threads: int,
    task: Path,
    tmp_path: Path,
    params: dict,
    stop_inside_a_write: Callable[["subprocess.Popen[str]", Path], None],
    unpublished: Callable[[Path], list[Path]],
) -> None:
    params["train"]["batch_size"], params["train"]["patience"] = 4, 100
    params["decoders"][name]["epochs"] = 10
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    begin = time.monotonic()
    subprocess.run(command(name, task, whole, params, threads=threads), check=True, capture_output=True)
    duration = time.monotonic() - begin
    again = command(name, task, killed, params, seconds=0.0, threads=threads)
    resumed = inside = 0
    generator = random.Random(threads)
    for aimed in (True, False, True):
        process = subprocess.Popen(again, stderr=subprocess.PIPE, text=True)
        if aimed:
            stop_inside_a_write(process, killed / "checkpoints")
        else:
            time.sleep(duration * generator.uniform(0.5, 0.95))
        process.send_signal(signal.SIGKILL)
        _, messages = process.communicate()
        resumed += "resumed after step" in messages
        inside += bool(unpublished(killed / "checkpoints"))
    last = subprocess.run(again, check=True, capture_output=True, text=True)
    assert digests(killed / name) == digests(whole / name)
    assert resumed + ("resumed after step" in last.stderr) > 0
    assert inside, "a write was really hit"
    assert not unpublished(killed / "checkpoints")


def test_a_corrupt_checkpoint_is_refused_and_the_one_before_used(
    task: Path,
    tmp_path: Path,
    params: dict,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    params["train"]["batch_size"] = 4
    run("rnn", task, tmp_path / "whole", params, epochs=2)
    saved: list[int] = []

    def save_and_die(self: Checkpoints, state: TrainingState) -> None:
        self.save(state)
        saved.append(len(state.steps))
        if len(saved) == 3:
            raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save_now_and_then", save_and_die)
        with pytest.raises(_Killed):
            run("rnn", task, tmp_path / "killed", params, epochs=2)
    files = sorted((tmp_path / "killed" / "checkpoints").glob("*/*.checkpoint"))
    assert [int(path.stem) for path in files] == saved[-KEPT:]
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 2] ^= 1
    files[-1].write_bytes(content)
    capsys.readouterr()
    run("rnn", task, tmp_path / "killed", params, epochs=2)
    messages = capsys.readouterr().err
    assert f"checkpoint of step {saved[2]}: corrupt, not used" in messages
    assert f"resumed after step {saved[1]}" in messages
    assert digests(tmp_path / "killed" / "rnn") == digests(tmp_path / "whole" / "rnn")


def test_a_second_trainer_is_refused(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from recap.runtime.checkpoints import Checkpoints\n"
    script += "with Checkpoints(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "key")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match="expected to be the only process"), Checkpoints(tmp_path / "key"):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with Checkpoints(tmp_path / "key"):
        pass  # the lock died with its holder


def test_a_fingerprint_tells_settings_data_and_code_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"one")
    first = fingerprint({"seed": 1}, [data])
    assert fingerprint({"seed": 1}, [data]) == first
    assert fingerprint({"seed": 2}, [data]) != first
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0.1")
        assert fingerprint({"seed": 1}, [data]) != first
    package = tmp_path / "recap"
    package.mkdir()
    (package / "module.py").write_text("x = 1")
    monkeypatch.setattr(recap, "__path__", [str(package)])
    second = fingerprint({"seed": 1}, [data])
    (package / "module.py").write_text("x = 2")
    assert len({first, second, fingerprint({"seed": 1}, [data])}) == 3
    data.write_bytes(b"two")
    assert fingerprint({"seed": 1}, [data]) not in (first, second)


def test_a_strange_file_beside_the_checkpoints_costs_no_training(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "key") as kept:
        (tmp_path / "key" / "notes.txt").write_text("mine")
        kept.clear()
    assert (tmp_path / "key" / "notes.txt").read_text() == "mine"


def test_bfloat16_is_refused_where_no_instruction_multiplies_it(tmp_path: Path) -> None:
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(
        params.replace("precision: float32", "precision: bfloat16"), encoding="utf-8"
    )
    command = [sys.executable, "-P", "-m", "recap.run_stage", ROOT / "stages" / "train.py", "lstm"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "train.precision: expected float32 with runtime.arithmetic: portable, and" in run.stderr
    assert "Traceback" not in run.stderr

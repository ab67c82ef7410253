"""kill -9 of the backbone and of `dvc repro`: the next run goes on. Decoders: tests/training."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recap.core.feature_files import write_features
from recap.core.raw_data import Source, write_source
from recap.sources.config import ScenesConfig
from recap.sources.draw_scenes import write_scenes
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

pytestmark = pytest.mark.slow

OFTEN = """
import sys
if any(argument.startswith("stages/") for argument in sys.orig_argv):
    from recap.runtime import checkpoints
    defaults = checkpoints.Checkpoints.__init__.__defaults__
    checkpoints.Checkpoints.__init__.__defaults__ = (0.0, *defaults[1:])
"""
"""A module that Python loads first: checkpoints at every occasion."""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "often").mkdir()
    (tmp_path / "often" / "sitecustomize.py").write_text(OFTEN)
    return {
        "PYTHONPATH": f"{tmp_path / 'often'}:src",
        "RECAP_TRACKING": "off",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def published(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_backbone(
    threads: int,
    tmp_path: Path,
    variables: dict[str, str],
    make_stage_folder: Callable[..., Path],
    start_stage: Callable[..., "subprocess.Popen[str]"],
    stop_inside_a_write: Callable[["subprocess.Popen[str]", Path], None],
    unpublished: Callable[[Path], list[Path]],
) -> None:
    changes = {
        "backbone": {"feature_dim": 24, "crop_steps": 25, "steps": 25, "batch_size": 4},
        "runtime": {"threads": threads},
    }
    whole, killed = (make_stage_folder(tmp_path / name, changes) for name in ("whole", "killed"))
    for folder in (whole, killed):
        write_scenes(
            ScenesConfig(train_images=40, validation_images=12, test_images=12, seed=1),
            folder / "data" / "raw",
        )
        write_source(folder / "data" / "raw", Source("scenes", True, False, False, True, "original"))
    begin = time.monotonic()
    process = start_stage(whole, "backbone", **variables)
    assert process.wait() == 0
    duration = time.monotonic() - begin
    generator, checkpoints = random.Random(threads), killed / ".recap" / "checkpoints"
    messages, inside = "", 0
    for aimed in (True, False, True):
        process = start_stage(killed, "backbone", **variables)
        if aimed:
            stop_inside_a_write(process, checkpoints)
        else:
            time.sleep(duration * generator.uniform(0.5, 0.95))
        process.kill()
        messages += process.communicate()[1]
        inside += bool(unpublished(checkpoints))
    process = start_stage(killed, "backbone", **variables)
    messages += process.communicate()[1]
    assert process.returncode == 0, messages
    assert "resumed after step" in messages
    assert inside, "a write was really hit"
    assert published(killed / "models" / "backbone") == published(whole / "models" / "backbone")


def test_repro_goes_on_by_itself(
    tmp_path: Path, variables: dict[str, str], make_stage_folder: Callable[..., Path]
) -> None:
    group = {"batch_size": 4, "warmup_steps": 5, "patience": 100, "scored_images": 0}
    rnn = {
        "wordvec_dim": 16, "hidden_dim": 24, "dropout": 0.2, "learning_rate": 0.01,
        "epochs": 12,
    }  # fmt: skip
    results = []
    for name in ("whole", "killed"):
        folder = make_stage_folder(
            tmp_path / name,
            {"train": group, "decoders": {"names": ["rnn"], "rnn": rnn}, "runtime": {"threads": 1}},
        )
        _write_task(folder / "data")
        command = f"{sys.executable} -P -m recap.run_stage stages/train.py rnn"
        stage = f"{{cmd: {command}, deps: [data], outs: [models/rnn]}}"
        (folder / "dvc.yaml").write_text(f"stages: {{train: {stage}}}")
        dvc = [sys.executable, "-m", "dvc"]
        environment = os.environ | variables
        subprocess.run([*dvc, "init", "--quiet", "--no-scm"], cwd=folder, env=environment, check=True)
        if name == "killed":
            process = subprocess.Popen(
                [*dvc, "repro"],
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            while not list((folder / ".recap" / "checkpoints").glob("*/0*")):
                assert process.poll() is None
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        result = subprocess.run(
            [*dvc, "repro"], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        assert ("resumed after step" in result.stderr) == (name == "killed")
        results.append(published(folder / "models" / "rnn"))
    assert results[0] == results[1]


def _write_task(folder: Path) -> None:
    """Captions and features of 60 and 20 images, drawn at random."""
    generator = np.random.default_rng(0)
    vocabulary = Vocabulary((*SPECIAL_WORDS, *(f"w{number}" for number in range(12))))
    arrays = {}
    for split, count in (("train", 60), ("validation", 20), ("test", 20)):
        features = generator.normal(size=(count, 8)).astype(np.float32)
        write_features(folder / "reduced" / f"{split}.h5", features)
        captions = [[f"w{word}" for word in generator.integers(12, size=5)] for _ in range(4 * count)]
        rows = np.repeat(np.arange(count, dtype=np.int32), 4)
        arrays[split] = (vocabulary.encode(captions, 8), rows)
    save_captions(folder / "captions", Captions(vocabulary, arrays))

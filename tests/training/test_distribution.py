"""Several processes learn what one learns; one that dies ends the job, and the next run goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch

from recap.decoders.build import NAMES
from recap.errors import InputError
from recap.runtime.config import DistributedConfig
from recap.runtime.launch import launch
from recap.runtime.workers import join_workers

SOURCE = Path(__file__).resolve().parents[2] / "src"

# argv: processes, folder of the task, folder to write to, the groups `train` and `decoders`, decoder
TRAIN = """
import json, os, sys
from pathlib import Path
from recap.runtime.config import DistributedConfig
from recap.runtime.launch import launch
from recap.tracking.stage import execute
from tests.settings import training_settings

def main():
    processes, task, output, params = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    settings = training_settings(json.loads(params), sys.argv[5])  # before there are several, as in the stage
    if launch(DistributedConfig(processes), sys.orig_argv[1:], os.environ):
        return
    from recap.runtime.workers import ALONE, join_workers
    from recap.runtime.setup import configure
    from recap.runtime.config import RuntimeConfig
    from recap.runtime.checkpoints import Checkpoints
    from recap.training.train import train
    Checkpoints.__init__.__defaults__ = (0.0, ALONE)  # at every occasion
    device = configure(RuntimeConfig("native", 1, "cpu"))
    with join_workers(processes, device, os.environ) as worker:
        folders = task / "raw", task / "captions", task / "features", output / sys.argv[5]
        train(sys.argv[5], *folders, *settings, device,
              lambda metrics, step: None, output / "checkpoints", worker)

execute(main)
"""

# the loss of every step in float64, without dropout; argv: processes, folder of the task, file to write
CURVES = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
import torch
from recap.text.batches import CaptionedFeatures
from recap.text.captions import load_captions
from recap.core.feature_files import open_features
from recap.decoders.build import build_decoder, describe
from recap.runtime.workers import join_workers
from tests.settings import settings
from recap.decoders.config import DecodersConfig
from recap.training.config import TrainConfig
from recap.training.loop import Task, fit
from recap.training.optimizer import make_optimizer
from recap.training.state import TrainingState
torch.set_num_threads(1)
processes, task = int(sys.argv[1]), Path(sys.argv[2])
captions = load_captions(task / "captions")
splits = [CaptionedFeatures(*captions.of(split), open_features(task / "features" / f"{split}.h5"))
          for split in ("train", "validation")]
config = settings(TrainConfig, batch_size=17, warmup_steps=3, patience=9, label_smoothing=0.0, seed=1)
decoders = settings(DecodersConfig)
curves = {}
with join_workers(processes, torch.device("cpu"), os.environ) as worker:
    for name in ("rnn", "lstm", "transformer"):
        sizes = ({"heads": 2, "layers": 2, "feedforward_dim": 16, "memory_tokens": 2}
                 if name == "transformer" else {"hidden_dim": 12})
        own = replace(decoders.of(name), wordvec_dim=8, dropout=0.0, learning_rate=0.003, epochs=2, **sizes)
        model = describe(name, own, 8, len(captions.vocabulary))
        decoder = build_decoder(model, torch.Generator().manual_seed(1)).double()
        state = TrainingState(decoder, make_optimizer(decoder, 0.01))
        fit(Task(name, *splits, config, own, worker), state, lambda metrics, step: None)
        curves[name] = [[row[2], row[4]] for row in state.steps] + [row[1:3] for row in state.epochs]
    if worker.rank == 0:
        Path(sys.argv[3]).write_text(json.dumps(curves))
"""


def environment(**variables: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{SOURCE}{os.pathsep}{SOURCE.parent}"} | variables


@pytest.fixture
def start(task: Path, tmp_path: Path, params: dict) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a training into a folder of tmp_path in two processes."""
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    params["train"]["batch_size"], params["train"]["patience"] = 4, 100
    for name in NAMES:
        params["decoders"][name]["epochs"] = 6
    started = []

    def start_training(folder: str, name: str = "lstm", **variables: str) -> "subprocess.Popen[str]":
        arguments = ["2", str(task), str(tmp_path / folder), json.dumps(params), name]
        command = [sys.executable, str(script), *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(**variables))
        started.append(process)
        return process

    yield start_training
    for process in started:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def wait_for(process: "subprocess.Popen[str]", text: str) -> list[str]:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    pytest.fail("".join(lines))


def ranks(process: "subprocess.Popen[str]") -> dict[str, psutil.Process]:
    return {child.environ()["RANK"]: child for child in psutil.Process(process.pid).children()}


def finish(process: "subprocess.Popen[str]") -> str:
    messages: str = process.communicate()[1]
    assert process.returncode == 0, messages
    assert "Traceback" not in messages
    return messages


def published(folder: Path) -> dict[str, bytes]:
    """What the training in the folder wrote, its only model."""
    (model,) = (path for path in folder.iterdir() if path.name in NAMES)
    return {path.name: path.read_bytes() for path in model.iterdir()}


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one(task: Path, tmp_path: Path) -> None:
    script = tmp_path / "curves.py"
    script.write_text(CURVES)
    curves = []
    for processes in ("1", "2"):
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        result = subprocess.run(
            [sys.executable, *torchrun, script, processes, task, tmp_path / f"{processes}.json"],
            capture_output=True,
            text=True,
            env=environment(),
        )
        assert result.returncode == 0, result.stderr
        curves.append(json.loads((tmp_path / f"{processes}.json").read_text()))
    for name, alone in curves[0].items():
        alone, shared = torch.tensor(alone), torch.tensor(curves[1][name])
        assert len(alone) == 2 * 15 + 2  # 240 captions: the last batch of an epoch has two
        assert (alone - shared).abs().max() < 1e-9
        assert alone[-1, 0] < alone[-2, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ending"), [("rnn", signal.SIGINT), ("lstm", signal.SIGTERM), ("transformer", signal.SIGTERM)]
)
def test_a_process_that_dies_ends_the_job_and_the_next_run_goes_on(
    name: str, ending: signal.Signals, tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    finish(start("whole", name))
    resumed = 0
    for rank, moment in (("1", "epoch 1 of"), ("0", "epoch 3 of")):
        process = start("killed", name)
        wait_for(process, moment)
        ranks(process)[rank].kill()
        messages = process.communicate()[1]
        assert process.returncode == 1
        lines = [line for line in messages.splitlines() if not line.startswith(f"{name}: epoch")]
        resumed += sum(line.startswith("resumed") for line in lines)
        assert [line for line in lines if not line.startswith("resumed")] == [
            f"process {rank} of 2: killed by SIGKILL; the others were ended, run again to go on"
        ]
    process = start("killed", name)  # and the one that watches them
    wait_for(process, "resumed after step")
    orphans = list(ranks(process).values())
    process.kill()
    process.wait()
    assert psutil.wait_procs(orphans, timeout=10)[1] == []
    process = start("killed", name)
    wait_for(process, "epoch 5 of")
    process.send_signal(ending)  # as Ctrl-C does: the others have a session of their own
    messages = process.communicate()[1]
    assert process.returncode == 128 + ending
    assert next(line for line in messages.splitlines() if not line.startswith(f"{name}: epoch")).endswith(
        "checkpoint written, run again to go on"
    )
    assert "resumed after step" in finish(start("killed", name))
    assert published(tmp_path / "killed") == published(tmp_path / "whole")


LISTENER = """
import os, sys
from pathlib import Path
found = Path(os.environ["RECAP_TEST_UNPICKLED"])
def note(event, arguments):
    if event == "pickle.find_class":
        with open(found / str(os.getpid()), "a") as file:
            print(*arguments, file=file)
sys.addaudithook(note)
"""


@pytest.mark.slow
def test_no_other_machine_reaches_the_processes_and_nothing_is_unpickled(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LISTENER)
    (tmp_path / "unpickled").mkdir()
    path = os.pathsep.join((str(tmp_path), str(SOURCE), str(SOURCE.parent)))
    process = start("listening", PYTHONPATH=path, RECAP_TEST_UNPICKLED=str(tmp_path / "unpickled"))
    wait_for(process, "epoch 1 of")
    agent = psutil.Process(process.pid)
    workers = list(ranks(process).values())
    assert len(workers) == 2
    assert listening(agent) == []
    assert {address for worker in workers for address in listening(worker)} <= {"127.0.0.1", "::1"}
    folder = Path(workers[0].environ()["RECAP_PROCESSES"]).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    finish(process)
    assert not folder.exists()
    assert [file.read_text() for file in (tmp_path / "unpickled").iterdir()] == []


def listening(process: psutil.Process) -> list[str]:
    """The addresses on which a process listens."""
    connections = process.net_connections("inet")
    return [own.laddr.ip for own in connections if own.status == psutil.CONN_LISTEN]


@pytest.mark.slow
def test_two_machines_give_the_bytes_of_one(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"], free_port: int
) -> None:
    finish(start("one"))
    machines = [
        start(
            f"machine {number}",
            PET_NNODES="2",
            PET_NODE_RANK=str(number),
            PET_MASTER_ADDR="127.0.0.1",
            PET_MASTER_PORT=str(free_port),
        )
        for number in range(2)
    ]
    for process in machines:
        finish(process)
    assert published(tmp_path / "machine 0") == published(tmp_path / "one")
    assert not (tmp_path / "machine 1").exists()


@pytest.mark.slow
def test_a_machine_that_dies_ends_the_job_on_the_other(
    start: Callable[..., "subprocess.Popen[str]"], free_port: int
) -> None:
    address = {"PET_NNODES": "2", "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port)}
    first, second = (start("machine", PET_NODE_RANK=str(number), **address) for number in range(2))
    wait_for(first, "epoch 1 of")
    second.kill()
    messages = first.communicate()[1]
    assert first.returncode == 1
    assert messages.splitlines()[-1] == (
        "process 0 of 2: lost a process on another machine; the others were ended, run again to go on"
    )
    assert "Traceback" not in messages


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(InputError, match=r"distributed\.processes: expected a multiple of 2 machines"):
        launch(DistributedConfig(3), [], {"PET_NNODES": "2"})
    for machines in ("0", "1:4", "two", "²"):
        with pytest.raises(InputError, match=rf"PET_NNODES: .* received '{machines}'"):
            launch(DistributedConfig(4), [], {"PET_NNODES": machines})
    with (
        pytest.raises(InputError, match=r"expected the number of processes, 4, received 2"),
        join_workers(2, torch.device("cpu"), {"WORLD_SIZE": "4"}),
    ):
        pass
    assert not launch(DistributedConfig(1), [], {})
    for name, text in (("PET_NODE_RANK", "2"), ("PET_NODE_RANK", "abc"), ("PET_MASTER_PORT", "65536")):
        with pytest.raises(InputError, match=rf"{name}: expected a whole number, .* received '{text}'"):
            launch(DistributedConfig(4), [], {"PET_NNODES": "2", name: text})
    group = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "29500"}
    for name, text in (
        *(("WORLD_SIZE", text) for text in ("abc", "", "0", "-2", "9" * 30)),
        *(("RANK", text) for text in ("abc", "2", "")),
        *(("LOCAL_RANK", text) for text in ("abc", "2")),
        *(("MASTER_PORT", text) for text in ("abc", "65536")),
    ):
        with (
            pytest.raises(InputError, match=rf"{name}: expected a whole number, .* received '{text}'"),
            join_workers(2, torch.device("cpu"), group | {name: text}),
        ):
            pass
    for name in ("RANK", "MASTER_PORT"):
        with (
            pytest.raises(InputError, match=f"{name}: expected a whole number, .* received nothing"),
            join_workers(2, torch.device("cpu"), {key: group[key] for key in group if key != name}),
        ):
            pass
    assert not launch(DistributedConfig(2), [], {"WORLD_SIZE": "2"})


@pytest.mark.slow
def test_a_mistake_is_told_once(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    process = start("none", "gru")
    messages = process.communicate()[1]
    assert process.returncode == 2
    assert messages.count("expected one of rnn, lstm, transformer, attention_lstm, received 'gru'") == 1

"""Every stage keeps a second writer out, whatever its settings; its lock goes with the process."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import recap.runtime.writer
from recap.errors import InputError
from recap.runtime.writer import only_writer


def test_a_second_process_is_refused_and_the_first_one_named(checkout: Any) -> None:
    first = checkout.start_stage()
    holder = (checkout.root / "started").read_text()
    checkout.set(seed=999)
    second = checkout.run_in_background("sh", "stages/run.sh", "train", "lstm")
    assert second.communicate()[0] == (
        "train@lstm: expected to be the only process that writes models/lstm, "
        f"received a lock that process {holder} holds\n"
    )
    assert second.returncode == 2
    checkout.set(seed=231)
    checkout.go_on()
    assert first.wait() == 0
    assert checkout.output() == "made of given by 231"


def test_the_second_waits_for_one_that_ends(checkout: Any) -> None:
    first = checkout.start_stage()
    second = checkout.run_in_background("sh", "stages/run.sh", "train", "lstm")
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1.0)
    checkout.go_on()
    assert (first.wait(), second.wait()) == (0, 0)


def test_the_lock_of_a_killed_process_is_free(checkout: Any) -> None:
    first = checkout.start_stage()
    first.send_signal(signal.SIGKILL)
    first.wait()
    checkout.go_on()
    assert checkout.run_in_background("sh", "stages/run.sh", "train", "lstm").wait() == 0


def test_other_stages_and_other_checkouts_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recap.runtime.writer, "LONGEST_WAIT", 0.0)
    with (
        only_writer("train@lstm", folder=tmp_path / "a"),
        only_writer("train@rnn", folder=tmp_path / "a"),
        only_writer("train@lstm", folder=tmp_path / "b"),
        pytest.raises(InputError, match="only process that writes its outputs"),
        only_writer("train@lstm", folder=tmp_path / "a"),
    ):
        pass
    with only_writer("train@lstm", folder=tmp_path / "a"):
        pass

"""`recap doctor`: what differs between machines, and whether it matters."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import recap.proof.doctor
from recap.errors import InputError
from recap.proof.doctor import (
    COMPUTING,
    Machine,
    as_lines,
    examine,
    inspect,
    read_machine,
    read_pins,
)
from recap.runtime.config import RuntimeConfig

PORTABLE = RuntimeConfig(arithmetic="portable", threads=2, device="cpu")
NATIVE = RuntimeConfig(arithmetic="native", threads=2, device="cpu")
CUDA = RuntimeConfig(arithmetic="portable", threads=2, device="cuda")
PINS = dict.fromkeys(COMPUTING, "1.2.3")
MACHINE = Machine(
    processor="A processor",
    instructions="avx2 fma avx512f",
    accelerators="",
    architecture="x86_64",
    system="Linux",
    c_library="glibc 2.36",
    python="3.11.7",
    libraries=PINS,
    runtime=PORTABLE,
)


@pytest.fixture(autouse=True)
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recap.proof.doctor, "unsupported", lambda: None)


def weights(
    here: Machine, there: Machine = MACHINE, pins: Mapping[str, str] = PINS, shell: Mapping[str, str] = {}
) -> dict[str, str]:
    """What a difference weighs, of the rows that differ."""
    rows = examine(here, there, pins, shell)
    assert all(bool(row.reason) == (row.weight != "same") for row in rows)
    return {row.name: row.weight for row in rows if row.weight != "same"}


def with_library(name: str, version: str, machine: Machine = MACHINE) -> Machine:
    return replace(machine, libraries=machine.libraries | {name: version})


def test_a_machine_equals_itself() -> None:
    assert weights(MACHINE) == {}


@pytest.mark.parametrize(
    ("change", "name", "weight"),
    [
        ({"processor": "AMD EPYC"}, "processor", "does not matter"),
        ({"instructions": "avx2 fma"}, "instructions", "does not matter"),
        ({"accelerators": "H100"}, "accelerators", "does not matter"),
        ({"architecture": "aarch64"}, "architecture", "matters"),
        ({"system": "Darwin"}, "system", "matters"),
        ({"c_library": "glibc 2.39"}, "C library", "may matter"),
        ({"python": "3.11.9"}, "Python", "does not matter"),
        ({"python": "3.12.7"}, "Python", "matters"),
    ],
)
def test_a_difference_weighs_what_it_can_change(change: dict[str, Any], name: str, weight: str) -> None:
    assert weights(replace(MACHINE, **change)) == {name: weight}
    assert weights(MACHINE, replace(MACHINE, **change)) == {name: weight}


@pytest.mark.parametrize("field", ["processor", "instructions"])
def test_native_arithmetic_follows_the_processor(field: str) -> None:
    here, there = replace(MACHINE, runtime=NATIVE), replace(MACHINE, runtime=NATIVE, **{field: "other"})
    assert weights(here, there) == {field: "matters"}


def test_one_native_run_is_enough_for_the_processor_to_matter() -> None:
    native, other = replace(MACHINE, runtime=NATIVE), replace(MACHINE, processor="other")
    expected = {"processor": "matters", "runtime.arithmetic": "matters"}
    assert weights(native, other) == weights(other, native) == expected


def test_a_gpu_matters_where_it_computes() -> None:
    here, there = replace(MACHINE, runtime=CUDA), replace(MACHINE, runtime=CUDA, accelerators="H100")
    assert weights(here, there) == {"accelerators": "matters"}


def test_other_settings_matter() -> None:
    for setting, value in (("arithmetic", "native"), ("threads", 4), ("device", "cuda")):
        other = replace(MACHINE, runtime=replace(PORTABLE, **{setting: value}))
        assert weights(other) == weights(MACHINE, other) == {f"runtime.{setting}": "matters"}


def test_a_processor_that_cannot_compute_portably_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recap.proof.doctor, "unsupported", lambda: "a processor without avx2")
    (row,) = (row for row in examine(MACHINE, MACHINE, PINS, {}) if row.weight != "same")
    assert (row.name, row.weight) == ("instructions", "matters")
    assert "a processor without avx2" in row.reason
    assert weights(replace(MACHINE, runtime=NATIVE), replace(MACHINE, runtime=NATIVE)) == {}


@pytest.mark.parametrize("library", COMPUTING)
def test_a_library_of_another_version_matters(library: str) -> None:
    other = with_library(library, "1.2.4")
    assert weights(other) == weights(MACHINE, other) == {library: "matters"}
    assert weights(other, other) == {library: "matters"}, "both differ from requirements.lock"
    without = replace(MACHINE, libraries={own: "1.2.3" for own in COMPUTING if own != library})
    assert weights(without) == weights(MACHINE, without) == {library: "matters"}
    assert weights(MACHINE, pins={own: "1.2.3" for own in COMPUTING if own != library}) == {
        library: "matters"
    }


def test_another_build_of_the_pinned_version_may_matter() -> None:
    cpu, gpu = with_library("torch", "1.2.3+cpu"), with_library("torch", "1.2.3+cu130")
    assert weights(cpu, gpu) == {"torch": "may matter"}
    assert weights(cpu, cpu) == {}
    assert weights(cpu, cpu, PINS | {"torch": "1.2.3+cpu"}) == {}
    assert weights(gpu, gpu, PINS | {"torch": "1.2.3+cpu"}) == {"torch": "matters"}


def test_variables_that_steer_libraries_are_named() -> None:
    shell = {"OMP_NUM_THREADS": "1", "PATH": "/bin", "MKL_CBWR": "AVX2", "HOMP_X": ""}
    (row,) = (row for row in examine(MACHINE, MACHINE, PINS, shell) if row.weight != "same")
    assert (row.here, row.weight) == ("MKL_CBWR OMP_NUM_THREADS", "does not matter")


def test_the_lines_mark_and_explain_what_differs() -> None:
    here = replace(with_library("numpy", "9"), processor="Another")
    lines = as_lines(examine(here, MACHINE, PINS, {}))
    assert lines[0].startswith(
        "~ processor: Another; there A processor; does not matter: portable arithmetic"
    )
    assert "! numpy: 9; there 1.2.3; matters: requirements.lock pins 1.2.3" in lines
    assert "  scipy: 1.2.3" in lines
    assert lines[-1] == "matters: numpy"
    assert as_lines(examine(MACHINE, MACHINE, PINS, {}))[-1] == "nothing that matters differs"


def test_this_machine_is_described_without_name_or_place(tmp_path: Path) -> None:
    machine = inspect(PORTABLE)
    assert machine.architecture == platform.machine()
    assert machine.python == platform.python_version()
    assert set(machine.libraries) == set(COMPUTING)
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(asdict(machine)))
    assert read_machine(path) == machine == inspect(PORTABLE)
    secrets = [str(Path.home()), str(Path.cwd()), str(tmp_path), f'"{platform.node()}"']
    assert not any(secret in path.read_text() for secret in secrets if len(secret) > 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("system"),
        lambda values: values.update(host="name"),
        lambda values: values.update(system=2),
        lambda values: values.update(libraries=["numpy"]),
        lambda values: values["runtime"].update(arithmetic="exact"),
        lambda values: values.clear(),
    ],
)
def test_an_odd_record_is_refused_in_one_line(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "machine.json"
    values = json.loads(json.dumps(asdict(MACHINE)))
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(
        InputError, match=r"machine\.json: expected what `recap doctor --record` wrote"
    ) as caught:
        read_machine(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{", b"\xff"])
def test_a_record_that_is_no_json_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "machine.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"machine\.json: expected what `recap doctor --record` wrote"
    ) as caught:
        read_machine(path)
    assert "\n" not in str(caught.value)


def test_pins_are_read_from_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "requirements.lock"
    path.write_text("# made by hand\nNumPy==2.0  # why\nscikit_learn==1.5 ; python_version > '3'\n-e .\n\n")
    assert read_pins(path) == {"numpy": "2.0", "scikit-learn": "1.5"}
    with pytest.raises(InputError, match="absent: expected pinned versions"):
        read_pins(tmp_path / "absent")

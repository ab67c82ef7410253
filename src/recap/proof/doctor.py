"""Compares this machine with the one that made dvc.lock, and says which differences matter for the bytes."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from recap.core.arithmetic import STEERING, processor_facts, unsupported
from recap.core.config import STRICT
from recap.errors import expecting
from recap.report.promise import is_exact
from recap.runtime.config import RuntimeConfig
from recap.workspace.machine import LIBRARIES, machine_tags

COMPUTING = tuple(name for name in LIBRARIES if name not in ("dvc", "mlflow", "recap"))
"""The libraries that compute what outputs hold."""
INSTRUCTIONS = (
    *("sse4_2", "avx", "avx2", "fma", "bmi2", "f16c"),
    *("avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"),
)
"""The sets by which libraries choose code, as the kernel names them."""
Weight = Literal["same", "does not matter", "may matter", "matters"]
MARKS: dict[Weight, str] = {"same": " ", "does not matter": "~", "may matter": "?", "matters": "!"}


@dataclass(config=STRICT, frozen=True)
class Machine:
    """The properties of a machine that can change a result; no host name, path or time."""

    processor: str  # its name
    instructions: str  # those of ``INSTRUCTIONS`` that it has, separated by spaces
    accelerators: str  # GPUs, separated by commas; empty without
    architecture: str  # x86_64, aarch64 or another
    system: str  # Linux, Darwin or another
    c_library: str  # name and version, if known
    python: str  # its version
    libraries: dict[str, str]  # the version of each of ``COMPUTING`` that is installed
    runtime: RuntimeConfig  # the params group `runtime`


class Row(NamedTuple):
    """A property of both machines, the weight of its difference, and the reason."""

    name: str
    here: str
    there: str
    weight: Weight
    reason: str


def inspect(runtime: RuntimeConfig) -> Machine:
    """Describe this machine; ``runtime`` are its params."""
    tags, flags = machine_tags(), processor_facts().get("flags", "").split()
    return Machine(
        processor=tags["machine.processor"],
        instructions=" ".join(name for name in INSTRUCTIONS if name in flags),
        accelerators=tags.get("machine.accelerators", ""),
        architecture={"AMD64": "x86_64"}.get(platform.machine(), platform.machine()),
        system=platform.system(),
        c_library=" ".join(platform.libc_ver()).strip(),
        python=platform.python_version(),
        libraries={name: tags[f"version.{name}"] for name in COMPUTING if f"version.{name}" in tags},
        runtime=runtime,
    )


def read_machine(path: Path) -> Machine:
    """Read what `recap doctor --record` wrote.

    Raises:
        InputError: the file is absent, or holds something else.
    """
    with expecting(f"{path}: expected what `recap doctor --record` wrote", OSError, ValueError):
        try:
            return TypeAdapter(Machine).validate_json(path.read_bytes())
        except ValidationError as error:
            mistake = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, mistake['loc']))} {mistake['msg']}") from None


def read_pins(path: Path) -> dict[str, str]:
    """Read the versions that a requirements.lock pins, by library.

    Raises:
        InputError: it cannot be read.
    """
    with expecting(f"{path}: expected pinned versions", OSError, UnicodeDecodeError):
        lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("#")[0].split(";")[0].partition("==") for line in lines)
    return {name.strip().lower().replace("_", "-"): pin.split()[0] for name, _, pin in pairs if pin.strip()}


def examine(
    here: Machine, there: Machine, pins: Mapping[str, str], environment: Mapping[str, str]
) -> list[Row]:
    """Compare this machine, property by property, with the one that made dvc.lock (``there``).

    ``pins`` are the versions in requirements.lock, ``environment`` the variables of this shell.
    """
    exact = is_exact(asdict(here.runtime)) and is_exact(asdict(there.runtime))
    lack = unsupported() if exact else None
    hardware: tuple[Weight, str] = ("matters", "native arithmetic and GPUs compute as their hardware does")
    if lack:
        hardware = ("matters", f"portable arithmetic needs x86-64 with AVX2: this is {lack}")
    elif exact:
        hardware = ("does not matter", "portable arithmetic is the same on x86-64 with AVX2")
    of_gpu: tuple[Weight, str] = ("does not matter", "runtime.device is cpu")
    if "cuda" in (here.runtime.device, there.runtime.device):
        of_gpu = ("matters", "runtime.device is cuda")
    of_python: tuple[Weight, str] = ("matters", "libraries are built for each")
    if here.python.rpartition(".")[0] == there.python.rpartition(".")[0]:
        of_python = ("does not matter", "the same but for corrections")
    steering = " ".join(sorted(name for name in environment if STEERING.fullmatch(name)))
    rows = [
        _row("processor", here.processor, there.processor, *hardware),
        _row("instructions", here.instructions, there.instructions, *hardware, always=bool(lack)),
        _row("accelerators", here.accelerators, there.accelerators, *of_gpu),
        _row(
            "architecture", here.architecture, there.architecture, "matters", "bytes are promised on x86-64"
        ),
        _row("system", here.system, there.system, "matters", "its libraries are built otherwise"),
        _row(
            "C library", here.c_library, there.c_library, "may matter", "its exp and log may round otherwise"
        ),
        _row("Python", here.python, there.python, *of_python),
        *(_library_row(name, here.libraries, there.libraries, pins) for name in COMPUTING),
    ]
    for name in ("arithmetic", "threads", "device"):
        own, other = (str(getattr(machine.runtime, name)) for machine in (here, there))
        rows.append(_row(f"runtime.{name}", own, other, "matters", "another setting, another dvc.lock"))
    return [*rows, _row("steering variables", steering, "", "does not matter", "stages clear them")]


def _row(name: str, here: str, there: str, weight: Weight, reason: str, *, always: bool = False) -> Row:
    """Make a row that has a weight when its values differ, or ``always``."""
    if here == there and not always:
        weight, reason = "same", ""
    return Row(name, here or "none", there or "none", weight, reason)


def _library_row(
    name: str, here: Mapping[str, str], there: Mapping[str, str], pins: Mapping[str, str]
) -> Row:
    """Make the row of a library: its version here, there, and the pinned one.

    Versions that differ only after "+" are builds of one version, such as PyTorch's for a kind of GPU.
    """
    own, other, pin = here.get(name, ""), there.get(name, ""), pins.get(name, "")
    release = own.partition("+")[0]
    if pin not in (own, release):
        return _row(name, own, other, "matters", f"requirements.lock pins {pin or 'none'}", always=True)
    if release == other.partition("+")[0]:
        return _row(name, own, other, "may matter", "another build of the same version")
    return _row(name, own, other, "matters", "another version may compute otherwise")


def as_lines(rows: Sequence[Row]) -> list[str]:
    """Return a line a row, the weight and the reason of each difference in it, and a summary as the last."""
    lines = [
        f"{MARKS[row.weight]} {row.name}: {row.here}"
        + (f"; there {row.there}; {row.weight}: {row.reason}" if row.reason else "")
        for row in rows
    ]
    matters = [row.name for row in rows if row.weight == "matters"]
    return [*lines, f"matters: {', '.join(matters)}" if matters else "nothing that matters differs"]

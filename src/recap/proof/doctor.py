"""Compares this machine with the one that made dvc.lock, and says which differences matter for the bytes."""

import itertools
import platform
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from recap.core.arithmetic import STEERING, processor_facts, unsupported
from recap.core.artifacts import write_json
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
NONE = "–"
Weight = Literal["same", "harmless", "doubtful", "matters"]
MARKS: dict[Weight, str] = {"same": " ", "harmless": "~", "doubtful": "?", "matters": "!"}
WORDS: dict[Weight, str] = {
    "same": "",
    "harmless": "does not matter",
    "doubtful": "may matter",
    "matters": "matters",
}
COLUMN = 36
"""Characters of a value in a line of the table."""


@dataclass(config=STRICT, frozen=True)
class Machine:
    """The properties of a machine that can change a result; no host name, path or time."""

    processor: str  # its name
    vendor: str  # its maker, as the processor reports it
    instructions: str  # those of ``INSTRUCTIONS`` that it has, separated by spaces
    accelerators: str  # GPUs, separated by commas; empty without
    architecture: str  # x86_64, aarch64 or another
    system: str  # Linux, Darwin or another
    distribution: str  # of the system, if known
    c_library: str  # name and version, if known
    cores: int  # as the system counts them
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
    tags, facts = machine_tags(), processor_facts()
    flags = facts.get("flags", "").split()
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        distribution = ""
    return Machine(
        processor=tags["machine.processor"],
        vendor=facts.get("vendor_id", ""),
        instructions=" ".join(name for name in INSTRUCTIONS if name in flags),
        accelerators=tags.get("machine.accelerators", ""),
        architecture={"AMD64": "x86_64"}.get(platform.machine(), platform.machine()),
        system=platform.system(),
        distribution=distribution,
        c_library=" ".join(platform.libc_ver()).strip(),
        cores=int(tags["machine.cores"]),
        python=platform.python_version(),
        libraries={name: tags[f"version.{name}"] for name in COMPUTING if f"version.{name}" in tags},
        runtime=runtime,
    )


def write_machine(path: Path, machine: Machine) -> None:
    """Write a machine as JSON.

    Raises:
        InputError: the path cannot be written.
    """
    with expecting(f"{path}: expected a file that can be written", OSError):
        write_json(path, asdict(machine))


def read_machine(path: Path) -> Machine:
    """Read what ``write_machine`` wrote.

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
    reason = unsupported() if exact else None
    if exact:
        hardware: tuple[Weight, str] = "harmless", "portable arithmetic is the same on x86-64 with AVX2"
    else:
        hardware = "matters", "native arithmetic and GPUs compute as their hardware does"
    if reason:
        needs: tuple[Weight, str] = "matters", f"portable arithmetic needs x86-64 with AVX2: this is {reason}"
    else:
        needs = hardware
    of_gpu: tuple[Weight, str] = ("harmless", "runtime.device is cpu")
    if "cuda" in (here.runtime.device, there.runtime.device):
        of_gpu = ("matters", "runtime.device is cuda")
    rows = [
        _row("processor", here.processor, there.processor, *hardware),
        _row("vendor", here.vendor, there.vendor, *hardware),
        _row("instructions", here.instructions, there.instructions, *needs, always=bool(reason)),
        _row("accelerators", here.accelerators, there.accelerators, *of_gpu),
        _row(
            "architecture",
            here.architecture,
            there.architecture,
            "matters",
            "bytes are promised on x86-64 alone",
        ),
        _row("system", here.system, there.system, "matters", "its libraries are built otherwise"),
        _row(
            "distribution", here.distribution, there.distribution, "harmless", "the libraries bring their own"
        ),
        _row("C library", here.c_library, there.c_library, "doubtful", "its exp and log may round otherwise"),
        _row("cores", str(here.cores), str(there.cores), "harmless", "runtime.threads says how many compute"),
        _python_row(here.python, there.python),
        *(_library_row(name, here.libraries, there.libraries, pins) for name in COMPUTING),
    ]
    for name in ("arithmetic", "threads", "device"):
        own, other = (str(getattr(machine.runtime, name)) for machine in (here, there))
        rows.append(_row(f"runtime.{name}", own, other, "matters", "another setting, another dvc.lock"))
    steering = " ".join(sorted(name for name in environment if STEERING.fullmatch(name)))
    rows.append(_row("steering variables", steering, "", "harmless", "stages clear them"))
    return rows


def _row(name: str, here: str, there: str, weight: Weight, reason: str, *, always: bool = False) -> Row:
    """Make a row that has a weight when its values differ, or ``always``."""
    differs = always or here != there
    return Row(name, here or NONE, there or NONE, weight if differs else "same", reason if differs else "")


def _python_row(here: str, there: str) -> Row:
    if here.rpartition(".")[0] == there.rpartition(".")[0]:
        return _row("Python", here, there, "harmless", "the same but for corrections")
    return _row("Python", here, there, "matters", "libraries are built for each")


def _library_row(
    name: str, here: Mapping[str, str], there: Mapping[str, str], pins: Mapping[str, str]
) -> Row:
    """Make the row of a library: its version here, there, and the pinned one.

    Versions that differ only after "+" are builds of one version, such as PyTorch's for a kind of GPU.
    """
    own, other, pin = here.get(name, ""), there.get(name, ""), pins.get(name, "")
    release = own.partition("+")[0]
    if own != pin and release != pin:
        return _row(name, own, other, "matters", f"requirements.lock pins {pin or 'none'}", always=True)
    if release == other.partition("+")[0]:
        return _row(name, own, other, "doubtful", "another build of the same version")
    return _row(name, own, other, "matters", "another version may compute otherwise")


def as_table(rows: Sequence[Row]) -> str:
    """Return the rows in columns, the weight of each difference below it, and a summary in the last line."""
    width = max(len(row.name) for row in rows)
    lines = [_columns(" ", width, "", "this machine", "the one that made dvc.lock")]
    for row in rows:
        there = row.there if row.weight != "same" else "the same"
        cells = (textwrap.wrap(value, COLUMN) for value in (row.here, there))
        for number, (own, other) in enumerate(itertools.zip_longest(*cells, fillvalue="")):
            name, mark = ("", " ") if number else (row.name, MARKS[row.weight])
            lines.append(_columns(mark, width, name, own, other))
        if row.reason:
            lines.append(_columns(" ", width, "", f"{WORDS[row.weight]}: {row.reason}", ""))
    matters = [row.name for row in rows if row.weight == "matters"]
    return "\n".join(
        [*lines, f"matters: {', '.join(matters)}" if matters else "nothing that matters differs"]
    )


def _columns(mark: str, width: int, name: str, here: str, there: str) -> str:
    return f"{mark} {name:{width}}  {here:{COLUMN}}  {there}".rstrip()

"""How this machine differs from the one that made dvc.lock, and whether that matters for the bytes."""

import itertools
import platform
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from recap.core.arithmetic import PROCESSOR, STEERING, unsupported
from recap.core.artifacts import write_json
from recap.core.config import STRICT
from recap.errors import InputError
from recap.report.promise import is_exact
from recap.runtime.config import RuntimeConfig
from recap.tracking.machine import machine_tags

LIBRARIES = (
    "captum",
    "h5py",
    "matplotlib",
    "numpy",
    "pillow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
)
"""Those that compute what outputs hold."""
INSTRUCTIONS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "bmi2",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
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
    """What can change a result, of a machine: no name, no place, no time.

    Attributes:
        processor: its name.
        vendor: its maker, as it says itself.
        instructions: those of ``INSTRUCTIONS`` that it has, separated by spaces.
        accelerators: GPUs, separated by commas; empty without.
        architecture: x86_64, aarch64, ...
        system: Linux, Darwin, ...
        distribution: of the system, where it says so.
        c_library: name and version, where Python finds them.
        cores: as the system counts them.
        python: its version.
        libraries: the version of each of ``LIBRARIES`` that is installed.
        runtime: the params group `runtime`.
    """

    processor: str
    vendor: str
    instructions: str
    accelerators: str
    architecture: str
    system: str
    distribution: str
    c_library: str
    cores: int
    python: str
    libraries: dict[str, str]
    runtime: RuntimeConfig


class Row(NamedTuple):
    """A property of both machines, what its difference weighs, and why."""

    name: str
    here: str
    there: str
    weight: Weight
    reason: str


def inspect(runtime: RuntimeConfig) -> Machine:
    """Look at this machine; ``runtime`` are its params."""
    tags, facts = machine_tags(), _processor_facts()
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
        libraries=_versions(),
        runtime=runtime,
    )


def _processor_facts() -> dict[str, str]:
    """Return what the kernel says of the first processor."""
    try:
        first = PROCESSOR.read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _versions() -> dict[str, str]:
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def write_machine(path: Path, machine: Machine) -> None:
    """Write a machine as JSON.

    Raises:
        InputError: there is no writing to that path.
    """
    try:
        write_json(path, asdict(machine))
    except OSError as error:
        raise InputError(f"{path}: expected a file that can be written, received: {error.strerror}") from None


def read_machine(path: Path) -> Machine:
    """Read what ``write_machine`` wrote.

    Raises:
        InputError: the file is absent, or holds something else.
    """
    try:
        return TypeAdapter(Machine).validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: expected what `recap doctor --record` wrote, received: {error.strerror}"
        ) from None
    except ValidationError as error:
        mistake = error.errors()[0]
        where = ".".join(map(str, mistake["loc"]))
        reason = " ".join(f"{where} {mistake['msg']}".split())
        raise InputError(f"{path}: expected what `recap doctor --record` wrote, received: {reason}") from None


def read_pins(path: Path) -> dict[str, str]:
    """The versions that a requirements.lock pins, by library.

    Raises:
        InputError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected pinned versions, received: {error}") from None
    pairs = (line.split("#")[0].split(";")[0].partition("==") for line in lines)
    return {name.strip().lower().replace("_", "-"): pin.split()[0] for name, _, pin in pairs if pin.strip()}


def examine(
    here: Machine, there: Machine, pins: Mapping[str, str], environment: Mapping[str, str]
) -> list[Row]:
    """Compare two machines property by property.

    Args:
        here: this machine.
        there: the one that made dvc.lock.
        pins: versions by library, of requirements.lock.
        environment: the variables of this shell.
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
    uses_gpu = "cuda" in (here.runtime.device, there.runtime.device)
    rows = [
        _row("processor", here.processor, there.processor, *hardware),
        _row("vendor", here.vendor, there.vendor, *hardware),
        _row("instructions", here.instructions, there.instructions, *needs, always=bool(reason)),
        _row("accelerators", here.accelerators, there.accelerators, *_gpu_weight(uses_gpu)),
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
        *(_library_row(name, here.libraries, there.libraries, pins) for name in LIBRARIES),
    ]
    for name in ("arithmetic", "threads", "device"):
        own, other = (str(getattr(machine.runtime, name)) for machine in (here, there))
        rows.append(_row(f"runtime.{name}", own, other, "matters", "another setting, another dvc.lock"))
    steering = " ".join(sorted(name for name in environment if STEERING.fullmatch(name)))
    rows.append(_row("steering variables", steering, "", "harmless", "stages clear them"))
    return rows


def _row(name: str, here: str, there: str, weight: Weight, reason: str, *, always: bool = False) -> Row:
    """A row that weighs something when its values differ, or ``always``."""
    differs = always or here != there
    return Row(name, here or NONE, there or NONE, weight if differs else "same", reason if differs else "")


def _gpu_weight(used: bool) -> tuple[Weight, str]:
    return ("matters", "runtime.device is cuda") if used else ("harmless", "runtime.device is cpu")


def _python_row(here: str, there: str) -> Row:
    if here.rpartition(".")[0] == there.rpartition(".")[0]:
        return _row("Python", here, there, "harmless", "the same but for corrections")
    return _row("Python", here, there, "matters", "libraries are built for each")


def _library_row(
    name: str, here: Mapping[str, str], there: Mapping[str, str], pins: Mapping[str, str]
) -> Row:
    """A library's version beside the other machine's and the pinned one.

    Versions that differ after "+" alone are builds of one, such as PyTorch's for a kind of GPU.
    """
    own, other, pin = here.get(name, ""), there.get(name, ""), pins.get(name, "")
    release = own.partition("+")[0]
    if own != pin and release != pin:
        return _row(name, own, other, "matters", f"requirements.lock pins {pin or 'none'}", always=True)
    if release == other.partition("+")[0]:
        return _row(name, own, other, "doubtful", "another build of the same version")
    return _row(name, own, other, "matters", "another version may compute otherwise")


def as_table(rows: Sequence[Row]) -> str:
    """The rows in columns, what a difference weighs below it, and what matters in the last line."""
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

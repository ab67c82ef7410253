"""The variables that make every x86-64 processor with AVX2 give the same bits.

Libraries choose code by the processor that they find, and other code adds in another order. The contract:

* instruction set: AVX2 and FMA, as torch (ATEN_CPU_CAPABILITY), oneDNN (ONEDNN_MAX_CPU_ISA), NumPy
  (NPY_ENABLE_CPU_FEATURES) and both OpenBLAS, NumPy's and SciPy's (OPENBLAS_CORETYPE), are told; stages
  without convolutions let oneDNN use AVX-512, with which it multiplies matrices to the same bits, twice as
  fast (``recap.runtime.linear`` keeps to the sizes for which this was shown);
* libraries: MKL, which also asks for the processor's maker, computes nothing that reaches an output;
  ``recap.runtime.kernels`` gives its work to oneDNN and NumPy;
* threads: `runtime.threads` for torch, and for linear algebra where the code says so; elsewhere one.

The variables are read when a library is loaded: ``recap.run_stage`` and the command line set them before.
This file loads no library that computes.
"""

import platform
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

PROCESSOR = Path("/proc/cpuinfo")
STEERING = re.compile(r"(?!OMP_WAIT_POLICY$)(ATEN|DNNL|GOMP|GOTO|KMP|MKL|NPY|OMP|ONEDNN|OPENBLAS|VECLIB)_\w+")
"""Names of variables by which a user or a cluster steers the libraries; none is passed on.

Waiting changes no bit, and OMP_WAIT_POLICY=passive keeps processes off each other's cores.
"""

ALWAYS = {
    "OPENBLAS_NUM_THREADS": "1",  # the default of cores differs between machines
    # rounds that a thread waits in a loop before it sleeps; libgomp's 300,000 keep a second process on the
    # same cores from its work, and waiting changes no bit
    "GOMP_SPINCOUNT": "2500",
}
PORTABLE = ALWAYS | {
    "ATEN_CPU_CAPABILITY": "avx2",
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_CBWR": "COMPATIBLE",  # in case other settings call MKL after all
}

WITHOUT_CONVOLUTIONS = ("train", "evaluate")
"""Stages that oneDNN serves with products alone: its convolutions' sums depend on the instruction set."""


def processor_facts() -> dict[str, str]:
    """Return the facts about the first processor in the kernel's list; none where it has no such list."""
    try:
        first = PROCESSOR.read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def unsupported() -> str | None:
    """Return why this machine cannot compute portably, or None when it can."""
    machine = platform.machine()
    if machine not in ("x86_64", "AMD64"):
        return f"an {machine} processor"
    facts = processor_facts()
    if not facts:
        return f"{platform.system()}, which does not say what its processor can do"
    absent = [flag for flag in ("avx2", "fma", "bmi2", "f16c") if flag not in facts.get("flags", "").split()]
    return f"a processor without {', '.join(absent)}" if absent else None


def steer(environment: MutableMapping[str, str], *, portable: bool, stage: str = "") -> str | None:
    """Set a process's steering variables, before it loads a library that reads them.

    Args:
        environment: ``os.environ``.
        portable: ask for the portable arithmetic.
        stage: the stage that the process runs, if any.

    Returns:
        Why the portable arithmetic cannot be had on this machine, or None.
    """
    reason = unsupported() if portable else None
    found = variables(portable and reason is None, environment, stage)
    for name in environment.keys() - found.keys():
        del environment[name]
    environment.update(found)
    return reason


def steer_stage(stage: str, params: Path, environment: MutableMapping[str, str]) -> str | None:
    """Steer a stage's process as ``runtime.arithmetic`` of a params file says; return what ``steer`` does.

    Raises:
        InputError: the params file has mistakes.
    """
    from recap.core.config import load_all

    portable = load_all(params)["runtime"].arithmetic == "portable"
    return steer(environment, portable=portable, stage=stage)


def variables(portable: bool, environment: Mapping[str, str], stage: str = "") -> dict[str, str]:
    """Return an environment whose steering variables are those of this file, as for ``steer``."""
    kept = {name: value for name, value in environment.items() if not STEERING.fullmatch(name)}
    if not portable:
        return kept | ALWAYS
    widest = "AVX512_CORE" if stage in WITHOUT_CONVOLUTIONS else "AVX2"
    return kept | PORTABLE | {"ONEDNN_MAX_CPU_ISA": widest}

"""Library versions and hardware, as tags of a run."""

import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from recap.core.arithmetic import processor_facts

LIBRARIES = (
    *("captum", "dvc", "h5py", "matplotlib", "mlflow", "numpy", "pillow", "recap"),
    *("safetensors", "scikit-learn", "scipy", "torch"),
)
DISTRIBUTIONS = {"recap": "recap-captioning"}
"""Those whose distribution has another name."""


@cache
def machine_tags() -> dict[str, str]:
    """Return the versions of Python and of libraries that compute, and the machine's hardware."""
    processor = processor_facts().get("model name") or platform.processor() or platform.machine()
    tags = {
        "machine.platform": platform.platform(),
        "machine.processor": processor,
        "machine.cores": str(psutil.cpu_count() or 0),
        "machine.memory_gib": f"{psutil.virtual_memory().total / 2**30:.1f}",
        "version.python": platform.python_version(),
    }
    accelerators = _accelerators()
    if accelerators:
        tags["machine.accelerators"] = accelerators
    for library in LIBRARIES:
        try:
            tags[f"version.{library}"] = version(DISTRIBUTIONS.get(library, library))
        except PackageNotFoundError:
            continue
    return tags


def _accelerators() -> str:
    """Return the names of NVIDIA's GPUs from the kernel's driver; empty without any."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError):
            lines = path.read_text(encoding="utf-8").splitlines()
            names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return ", ".join(names)

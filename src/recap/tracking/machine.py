"""What ran it: library versions and hardware, as tags of a run, and the load of a process as metrics."""

import os
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

LIBRARIES = (
    "dvc",
    "h5py",
    "mlflow",
    "numpy",
    "pillow",
    "recap",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
)
MEBIBYTE = 2**20


@cache
def machine_tags() -> dict[str, str]:
    """Versions of Python and the libraries that compute, and the machine's hardware."""
    tags = {
        "machine.platform": platform.platform(),
        "machine.processor": _processor(),
        "machine.cores": str(psutil.cpu_count() or 0),
        "machine.memory_gib": f"{psutil.virtual_memory().total / 2**30:.1f}",
        "version.python": platform.python_version(),
    }
    accelerators = _accelerators()
    if accelerators:
        tags["machine.accelerators"] = accelerators
    for library in LIBRARIES:
        try:
            tags[f"version.{library}"] = version(library)
        except PackageNotFoundError:
            continue
    return tags


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _accelerators() -> str:
    """NVIDIA's GPUs as the kernel's driver names them; empty where there are none."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError):
            lines = path.read_text(encoding="utf-8").splitlines()
            names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return ", ".join(names)


class Load:
    """Measures a process of this machine under the names that MLflow's page of system metrics shows."""

    def __init__(self, process: int) -> None:
        """Watch a process.

        Raises:
            psutil.Error: it is gone.
        """
        self._process = psutil.Process(process)
        self._process.cpu_percent()  # the first call starts the measurement

    def measure(self) -> dict[str, float]:
        """Percent of one core, and MiB, of the process; percent of all cores and memory, of the machine.

        Raises:
            psutil.Error: the process is gone.
        """
        return {
            "system/process_cpu_percentage": self._process.cpu_percent(),
            "system/process_memory_megabytes": self._process.memory_info().rss / MEBIBYTE,
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_percentage": psutil.virtual_memory().percent,
        }


def this_process() -> str:
    """This process as runs are tagged: host and id."""
    return f"{platform.node()} {os.getpid()}"


def is_running(process: int, started_before: float) -> bool:
    """Whether a process of this machine lives and is the one that ran then (ids are used again).

    Args:
        process: its id.
        started_before: seconds since 1970 at which it was running.
    """
    try:
        found = psutil.Process(process)
        # Kernels count start times from boot, to about a second.
        return found.create_time() <= started_before + 2 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

"""What a run promises to whoever runs it again: the same bytes, or metrics within tolerances; and of what."""

from collections.abc import Mapping
from typing import Any

from recap.core.hashes import hash_list

RELATIVE_TOLERANCE = 0.10
ABSOLUTE_TOLERANCE = 0.06
"""How far a metric may be from the other machine's where bytes are not promised: either bound suffices."""


def is_exact(runtime: Mapping[str, Any]) -> bool:
    """Return whether the params group `runtime` promises the same bytes on every x86-64 processor with AVX2.

    Args:
        runtime: "arithmetic" and "device"; without the former it is native, without the latter the CPU.
    """
    return runtime.get("arithmetic") == "portable" and runtime.get("device", "cpu") == "cpu"


def promise(runtime: Mapping[str, Any]) -> str:
    """Return what a run with this params group `runtime` promises, in plain words; as in ``is_exact``."""
    if is_exact(runtime):
        return (
            "The same requirements.lock, params.yaml and code give the same bytes on every x86-64 processor "
            "with AVX2: the MD5 of every output equals the one in dvc.lock."
        )
    device = runtime.get("device", "cpu")
    setting = "runtime.arithmetic: native" if device == "cpu" else f"runtime.device: {device}"
    return (
        f"Under {setting} the same requirements.lock, params.yaml and code give the same bytes on machines "
        "that are alike. On others the outputs of fetch and tokenize are the same bytes, and every metric is "
        f"within {RELATIVE_TOLERANCE:.0%} or {ABSOLUTE_TOLERANCE} of this run's."
    )


def made_from(hashes: Mapping[str, str]) -> str:
    """Return one digest of what the page was made from, as DVC forms a folder's.

    Args:
        hashes: MD5 by path of the dependencies of the stage `report`; those of its code are left out.
    """
    return hash_list({path: md5 for path, md5 in hashes.items() if not path.startswith(("src/", "stages/"))})

"""A digest of the inputs of long work, which says whether its checkpoints may be continued."""

import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recap
from recap.runtime.kernels import is_installed


def fingerprint(values: Any, inputs: Sequence[Path]) -> str:
    """Return the SHA-256 of all that determines the result of long work.

    It covers the values (config objects, and JSON), the content of the files, the code of the library, the
    versions of what computes, and the arithmetic.
    """
    digest = hashlib.sha256()
    library = Path(recap.__path__[0])
    code = [path for path in sorted(library.rglob("*.py")) if library / "tracking" not in path.parents]
    versions = [platform.python_version(), platform.machine(), np.__version__, torch.__version__]
    arithmetic = [torch.backends.cpu.get_cpu_capability(), is_installed()]
    digest.update(json.dumps([values, versions, arithmetic], sort_keys=True, default=vars).encode())
    for path in [*inputs, *code]:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()

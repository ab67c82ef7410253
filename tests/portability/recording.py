"""Records the torch operations that stages call, and calls them again on the same inputs everywhere.

A call is kept as JSON: the operation and its arguments, of tensors the dtype, shape, strides and range.
"""

import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure

NAMED = (torch.dtype, torch.layout, torch.memory_format)
CALLS_OF_EACH = 3
UNWRITTEN = ("empty", "new_empty", "empty_like", "new_empty_strided", "empty_strided")
"""Operations whose result is memory that nobody wrote."""


class Recorder(TorchDispatchMode):
    """Notes every operation below autograd: ``calls[line]`` has calls as JSON text by their form.

    A line is the operation with the floating dtypes of its tensors, such as ``aten.mm.default(float32)``.
    """

    def __init__(self, *, with_calls: bool) -> None:
        super().__init__()
        self._limit = CALLS_OF_EACH if with_calls else 0
        self.calls: dict[str, dict[str, str]] = {}
        self._sizes: dict[str, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(tensor.is_meta for tensor in tensors):
            return function(*args, **kwargs)
        floats = {tensor.dtype for tensor in tensors if tensor.is_floating_point() or tensor.is_complex()}
        names = sorted(str(dtype).removeprefix("torch.") for dtype in floats)
        known = self.calls.setdefault(f"{function}({', '.join(names)})", {})
        if self._limit:
            self._keep(known, f"{function}", tensors, [list(args), kwargs])
        return function(*args, **kwargs)

    def _keep(self, known: dict[str, str], name: str, tensors: list[Tensor], arguments: list[Any]) -> None:
        """Keep a call if it is among the smallest of its operation; an emulator is slow."""
        form = f"{name} {[(tensor.shape, tensor.layout) for tensor in tensors]}"
        size = sum(tensor.numel() for tensor in tensors)
        if form in known:
            return
        if len(known) == self._limit:
            largest = max(known, key=lambda other: self._sizes[other])
            if self._sizes[largest] <= size:
                return
            del known[largest]
        known[form] = json.dumps([name, *map(_describe, arguments)])
        self._sizes[form] = size


def _describe(value: Any) -> Any:
    if isinstance(value, Tensor):
        dense = value.to_dense() if value.is_mkldnn else value
        low, high = 0.0, 0.0
        if dense.numel() and not dense.is_complex():
            low, high = float(dense.min()), float(dense.max())
        return {
            "dtype": str(value.dtype),
            "shape": list(value.shape),
            "stride": list(dense.stride()),
            "mkldnn": value.is_mkldnn,
            "range": [low, high] if math.isfinite(low) and math.isfinite(high) else [-1.0, 1.0],
        }
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if isinstance(value, dict):
        return {"options": {name: _describe(item) for name, item in value.items()}}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, NAMED):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, torch.Generator):
        return {"generator": 0}
    return {"unknown": type(value).__name__}


def call_again(text: str) -> str:
    """Call an operation as it was recorded, on drawn inputs; SHA-256 of all that it returns and changes.

    Raises:
        Exception: the operation cannot be called out of its place; the caller decides.
    """
    name, args, options = json.loads(text)
    space, operation, overload = name.split(".")
    if operation in UNWRITTEN:
        return "memory that nobody wrote"
    function = getattr(getattr(getattr(torch.ops, space), operation), overload)
    draws = np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))
    torch.manual_seed(231)
    values, keywords = _make(args, draws), _make(options, draws)
    with torch.inference_mode():
        result = function(*values, **keywords)
    digest = hashlib.sha256()
    for leaf in tree_leaves((result, values)):
        if isinstance(leaf, Tensor):
            dense = leaf.to_dense() if leaf.is_mkldnn else leaf
            digest.update(str(tuple(dense.shape)).encode())
            digest.update(dense.detach().resolve_conj().contiguous().numpy().tobytes())
        elif isinstance(leaf, bool | int | float):
            digest.update(repr(leaf).encode())
    return digest.hexdigest()


def _make(value: Any, draws: np.random.Generator) -> Any:
    if isinstance(value, list):
        return [_make(item, draws) for item in value]
    if not isinstance(value, dict):
        return value
    if "options" in value:
        return {name: _make(item, draws) for name, item in value["options"].items()}
    if "float" in value:
        return float(value["float"])
    if "torch" in value:
        return getattr(torch, value["torch"])
    if "device" in value:
        return torch.device(value["device"])
    if "generator" in value:
        return torch.Generator().manual_seed(5)
    if "unknown" in value:
        raise TypeError(value["unknown"])
    return _tensor(value, draws)


def _tensor(value: dict[str, Any], draws: np.random.Generator) -> Tensor:
    """A tensor of whole multiples of 2^-23, so that no machine rounds while it is made."""
    dtype, (low, high) = getattr(torch, value["dtype"].removeprefix("torch.")), value["range"]
    room = 1 + sum((size - 1) * stride for size, stride in zip(value["shape"], value["stride"], strict=True))
    room = max(room, 0) if all(value["shape"]) else 0
    if dtype.is_complex:
        flat = _fractions(draws, 2 * room).view(np.complex128)
    elif dtype.is_floating_point:
        shares = _fractions(draws, room)
        # of both signs most values are small, as those of a network
        flat = shares**3 * max(-low, high) if low < 0 < high else low + (shares + 1) / 2 * (high - low)
    else:
        flat = draws.integers(int(low), int(high), room, endpoint=True)
    tensor = torch.from_numpy(flat).to(dtype).as_strided(value["shape"], value["stride"])
    return tensor.to_mkldnn() if value["mkldnn"] else tensor


def _fractions(draws: np.random.Generator, count: int) -> Any:
    """Multiples of 2^-16 within [-1, 1]."""
    return draws.integers(-(2**16), 2**16, count, endpoint=True) / 2**16


def main() -> None:
    """Call the operations of a file of calls again with a number of threads; print digests as JSON.

    A call that its place alone makes possible, such as one that takes a storage, has the error as its digest.
    """
    calls: dict[str, list[str]] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    configure(RuntimeConfig("portable", int(sys.argv[2]), "cpu"))
    digests: dict[str, dict[str, str]] = {}
    for line, texts in calls.items():
        for text in texts:
            try:
                digest = call_again(text)
            except (AttributeError, RuntimeError, TypeError) as error:
                digest = f"not callable: {error}"
            digests.setdefault(line, {})[text] = digest
    print(json.dumps(digests))


if __name__ == "__main__":
    main()

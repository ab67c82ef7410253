"""The only writers of outputs: atomic (temporary file, flush, rename) and the same bytes on every write."""

import csv
import errno
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, durable: bool = True) -> None:
    """Call ``write`` with a binary file; ``path`` appears, whole and flushed to disk, only when it returns.

    Args:
        path: the file to publish; its folder is made when absent.
        write: receives a file open for reading and writing.
        durable: False leaves the flush to the system, for many small files that are made again when lost.

    Raises:
        OSError: the disk or the folder refuses, or there is a device or a pipe; ``path`` is as it was.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # a folder refuses by itself
        raise OSError(errno.EEXIST, "a device or a pipe", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # path.name itself may have the largest length
    name = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    temporary = path.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w+b") as file:
            write(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if str(error.filename) in ("None", str(temporary)):  # of a write, or a name that nobody knows
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # renamed, or on a disk that takes nothing
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes."""
    write_atomically(path, lambda file: file.write(content))


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text with the line ends that it has."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any, *, compact: bool = False) -> None:
    """Write JSON with sorted keys; ``compact`` for large files. NaN and infinity are refused (ValueError)."""
    layout: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 2}
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, **layout)
    write_text(path, text + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a header; floats in their shortest exact form, None as an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_hdf5(path: Path, arrays: Mapping[str, "NDArray[Any]"]) -> None:
    """Write named arrays as contiguous data sets without time stamps, so that readers can map them."""
    import h5py

    def write(file: BinaryIO) -> None:
        with h5py.File(file, "w", track_order=False) as hdf5:
            for name in sorted(arrays):
                hdf5.create_dataset(name, data=arrays[name], track_times=False)

    write_atomically(path, write)


def write_safetensors(path: Path, tensors: Mapping[str, "torch.Tensor"]) -> None:
    """Write tensors (moved to the CPU, made contiguous) without metadata, whose order would be random."""
    from safetensors.torch import save

    content = save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)})
    write_bytes(path, content)


def write_png(path: Path, pixels: "NDArray[np.uint8]", *, durable: bool = True) -> None:
    """Write an image: (height, width, 3) RGB or (height, width) grey, uint8.

    ``durable`` as in ``write_atomically``.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    write_atomically(path, lambda file: image.save(file, format="PNG", compress_level=6), durable=durable)

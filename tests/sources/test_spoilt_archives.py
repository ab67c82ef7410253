"""Archives with bytes changed at random: read or refused in one line, in bounded memory and time."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

FUZZ = """
import faulthandler, io, random, shutil, sys, zipfile
from pathlib import Path
from recap.sources.cs231n import fetch_coco
from recap.sources.config import CocoConfig
from recap.errors import InputError

path, cases = Path(sys.argv[1]), int(sys.argv[2])
config = CocoConfig(archive=None, check="any", train_captions=None, test_captions=None)
whole = path.read_bytes()
with zipfile.ZipFile(path) as archive:
    members = {name: archive.read(name) for name in archive.namelist()}
draw = random.Random(3)
refused = 0

def spoil(content):
    spoilt = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        spoilt[draw.randrange(len(spoilt))] = draw.choice((0, 1, 255, draw.randrange(256)))
    if draw.random() < 0.1:
        del spoilt[draw.randrange(len(spoilt)):]
    return bytes(spoilt)

for case in range(cases):
    faulthandler.dump_traceback_later(20, exit=True)
    if case % 2:
        path.write_bytes(spoil(whole))
    else:
        broken = draw.choice([name for name in members if name.endswith((".h5", ".json"))])
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, spoil(content) if name == broken else content)
    shutil.rmtree(path.parent / "raw", ignore_errors=True)
    try:
        fetch_coco(path, None, config, 0.1, path.parent / "raw")
    except InputError as error:
        assert len(str(error).splitlines()) == 1, str(error)
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("cases", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_spoilt_archives(
    tmp_path: Path,
    members: dict[str, bytes],
    hdf5: Callable[[dict[str, Any]], bytes],
    make_archive: Callable[[dict[str, bytes]], Path],
    cases: int,
) -> None:
    packed = tmp_path / "packed.h5"
    values = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    with h5py.File(packed, "w") as file:
        file.create_dataset("features", data=values, compression="gzip", shuffle=True, fletcher32=True)
    members["train2014_vgg16_fc7.h5"] = packed.read_bytes()
    path = make_archive(members)
    command = f"ulimit -v 4000000; exec {sys.executable} - {path} {cases}"
    done = subprocess.run(["sh", "-c", command], input=FUZZ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > cases / 5

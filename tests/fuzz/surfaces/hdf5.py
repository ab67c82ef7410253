"""HDF5 files: as features and as captions of the pipeline, and as a member of an archive."""

import io
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tests.fuzz.mutations import json_bytes, mutate_bytes

from recap.core.feature_files import open_features, read_blocks
from recap.core.hdf5 import Expected, open_checked, read_rows
from recap.errors import InputError
from recap.text.captions import check_captions, load_captions

WORDS = ["<NULL>", "<START>", "<END>", "<UNK>", "a", "cat", "on", "grass"]
DTYPES = ("<f4", ">f4", "<f8", "<f2", "<i4", "u1", "S3", "<i8", "?", "<c8")
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"chunks": True},
    {"compression": "gzip", "chunks": (1, 3)},
    {"compression": "lzf", "shuffle": True},
    {"fletcher32": True},
    {"chunks": (1, 1), "compression": "gzip", "compression_opts": 9},
    {"maxshape": (None, None)},
)


IMAGES = {"train": 4, "validation": 1, "test": 2}


def caption_arrays(images: dict[str, int]) -> dict[str, Any]:
    """The arrays of a file of captions; ``images`` by split."""
    caption, short = [1, 4, 5, 6, 7, 2, 0, 0], [1, 4, 3, 2, 0, 0, 0, 0]
    arrays: dict[str, Any] = {}
    for split, count in images.items():
        arrays[f"{split}_captions"] = np.array([caption, short] * count, np.int32)
        arrays[f"{split}_image_idxs"] = np.repeat(np.arange(count, dtype=np.int32), 2)
    return arrays


def plain_features() -> np.ndarray:
    return np.arange(24, dtype=np.float32).reshape(6, 4)


def odd_file(generator: random.Random, names: list[str]) -> bytes:
    """A file whose data sets are of another kind than they should be."""
    file = io.BytesIO()
    with h5py.File(file, "w", libver=generator.choice((None, "latest"))) as hdf5:
        for name in names:
            kind = generator.randrange(12)
            shape = generator.choice(((6, 4), (4,), (0, 4), (6, 0), (1, 1, 1), (), (6, 4)))
            if kind == 0:
                hdf5[name] = h5py.ExternalLink("/etc/passwd", "/features")
            elif kind == 1:
                hdf5[name] = h5py.SoftLink(generator.choice((f"/{name}", "/none", "/")))
            elif kind == 2:
                hdf5.create_group(name)
            elif kind == 3:
                layout = h5py.VirtualLayout((6, 4), "f4")
                layout[:] = h5py.VirtualSource("other.h5", "features", (6, 4))
                hdf5.create_virtual_dataset(name, layout)
            elif kind == 4:
                huge = generator.choice(((2**40, 4), (2**20, 2**20), (2**62, 2), (1, 2**33)))
                hdf5.create_dataset(name, huge, "<f4", chunks=(1, min(huge[1], 1024)))
            elif kind == 5:
                hdf5.create_dataset(name, (6, 4), "<f4", external=[("/etc/passwd", 0, 96)])
            elif kind == 6:
                hdf5.create_dataset(name, data=np.zeros(6, [("a", "<f4"), ("b", "<i4")]))
            elif kind == 7:
                hdf5.create_dataset(name, data=["text"] * 6)
            elif kind == 8:
                hdf5[name] = h5py.Empty("f4")
            elif kind == 9:
                hdf5.create_dataset(
                    name, data=np.full((6, 4), generator.choice((np.nan, np.inf, 1e38)), "<f4")
                )
            else:
                options = generator.choice(FILTERS) if len(shape) == 2 and all(shape) else {}
                hdf5.create_dataset(name, shape, generator.choice(DTYPES), **options)
    return file.getvalue()


def whole_file(arrays: dict[str, Any], options: dict[str, Any]) -> bytes:
    """A file with arrays, stored in some way."""
    file = io.BytesIO()
    with h5py.File(file, "w") as hdf5:
        for name, values in arrays.items():
            hdf5.create_dataset(name, data=values, **(options if values.ndim == 2 else {}))
    return file.getvalue()


class FeatureFiles:
    def __init__(self) -> None:
        numbers = {word: number for number, word in enumerate(WORDS)}
        Path("captions").mkdir()
        Path("captions/vocabulary.json").write_bytes(
            json_bytes({"idx_to_word": WORDS, "word_to_idx": numbers})
        )

    def draw(self, generator: random.Random) -> bytes:
        is_features = generator.random() < 0.6
        arrays = {"features": plain_features()} if is_features else caption_arrays(IMAGES)
        if generator.random() < 0.25:
            content = odd_file(generator, list(arrays))
            return content if generator.random() < 0.5 else mutate_bytes(content, generator)
        return mutate_bytes(whole_file(arrays, generator.choice(FILTERS)), generator)

    def run(self, content: bytes) -> bool:
        path = Path("captions/captions.h5")
        path.write_bytes(content)
        accepted, refused = False, None
        for use in (self._features, self._captions, self._member):
            try:
                use(path)
                accepted = True
            except InputError as error:
                refused = error
        if refused and not accepted:
            raise refused
        return True

    @staticmethod
    def _features(path: Path) -> None:
        features = open_features(path)
        if features.nbytes < 1 << 20:
            np.isfinite(features).all()
            list(read_blocks(path, 4))

    @staticmethod
    def _captions(path: Path) -> None:
        captions = load_captions(path.parent)
        check_captions(captions, IMAGES, str(path))

    @staticmethod
    def _member(path: Path) -> None:
        with open_checked(path, {"features": Expected((None, None), "<f4")}, "member") as data_sets:
            features = data_sets["features"]
            for start in range(0, min(len(features), 64), 4):
                read_rows(features, start, start + 4, "member")

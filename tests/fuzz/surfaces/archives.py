"""Archives in the layout of CS231n: the source `coco`."""

import io
import json
import random
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from tests.fuzz.mutations import TEXTS, json_bytes, mutate_bytes, mutate_json
from tests.fuzz.surface import check_unpublished
from tests.fuzz.surfaces.hdf5 import WORDS, caption_arrays, odd_file, whole_file

from recap.errors import InputError
from recap.sources.config import CocoConfig, DataConfig, FolderConfig, ImagesConfig, ScenesConfig
from recap.sources.download import Files
from recap.sources.fetch import fetch

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
NAMES = ("../x", "/x", "C:\\x", "a\\..\\..\\x", "x" * 300, "./x", "x\0y", "con", "é", "a/./b", "")


IMAGES = {"train": 4, "val": 2}


def small_members() -> dict[str, bytes]:
    """The members of a small archive by name."""
    members: dict[str, bytes] = {}
    for split, count, first in (("train", IMAGES["train"], 1), ("val", IMAGES["val"], 101)):
        features = np.arange(count * 4, dtype=np.float32).reshape(count, 4)
        members[f"{split}2014_vgg16_fc7.h5"] = whole_file({"features": features}, {})
        ids = range(first, first + count)
        names = [f"coco/images/{split}2014/COCO_{split}2014_{number:012}.jpg" for number in ids]
        members[f"{split}2014_images.txt"] = "".join(f"{name}\n" for name in names).encode()
        urls = [f"http://127.0.0.1/{number}.jpg\n" for number in ids]
        members[f"{split}2014_urls.txt"] = "".join(urls).encode()
    members["coco2014_captions.h5"] = whole_file(caption_arrays(IMAGES), {})
    numbers = {word: number for number, word in enumerate(WORDS)}
    members["coco2014_vocab.json"] = json_bytes({"idx_to_word": WORDS, "word_to_idx": numbers})
    return members


class Archives:
    def __init__(self) -> None:
        self.members = small_members()

    def draw(self, generator: random.Random) -> bytes:
        members = dict(self.members)
        name = generator.choice(sorted(members))
        kind = generator.randrange(6)
        if kind == 0:
            members[name] = mutate_bytes(members[name], generator)
        elif kind == 1:
            name = "coco2014_vocab.json"
            members[name] = json_bytes(mutate_json(json.loads(members[name]), generator))
        elif kind == 2:
            name = generator.choice([name for name in sorted(members) if name.endswith(".h5")])
            kinds = list(caption_arrays(IMAGES)) if "captions" in name else ["features"]
            members[name] = odd_file(generator, kinds)
        elif kind == 3:
            name = generator.choice([name for name in sorted(members) if name.endswith(".txt")])
            lines = members[name].decode().splitlines()
            lines[generator.randrange(len(lines))] = generator.choice(TEXTS)
            members[name] = "\n".join(lines).encode("utf-8", "surrogatepass")
        content = self._pack(members, generator, odd=kind == 4)
        return content if kind in (0, 1, 2, 3) else mutate_bytes(content, generator)

    @staticmethod
    def _pack(members: dict[str, bytes], generator: random.Random, odd: bool) -> bytes:
        file = io.BytesIO()
        if odd and generator.random() < 0.1:
            with tarfile.open(fileobj=file, mode="w:gz") as packed:
                for name, content in members.items():
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    packed.addfile(entry, io.BytesIO(content))
            return file.getvalue()
        with zipfile.ZipFile(file, "w", generator.choice(METHODS)) as archive:
            for name, content in members.items():
                archive.writestr(f"coco_captioning/{name}", content)
            for _ in range(generator.randrange(3) if odd else 0):
                entry = zipfile.ZipInfo(generator.choice(NAMES))
                entry.external_attr = generator.choice(
                    (0, 0o120777 << 16, 0o10644 << 16, 0o40755 << 16, 0x10)
                )
                archive.writestr(
                    entry, generator.choice((b"", b"x", b"\0" * 100_000)), generator.choice(METHODS)
                )
        return file.getvalue()

    def run(self, content: bytes) -> bool:
        Path("archive.zip").write_bytes(content)
        config = DataConfig(
            source="coco",
            validation_share=0.1,
            test_share=0.1,
            offline=True,
            language_captions=None,
            images=ImagesConfig(fetch=False, timeout=1.0),
            scenes=ScenesConfig(train_images=10, validation_images=3, test_images=3, seed=0),
            coco=CocoConfig("archive.zip", "any", None, None),
            folder=FolderConfig(None, None, None, None),
        )
        try:
            fetch(config, Path("raw"), Files(Path("downloads"), Path("downloads.json"), offline=True))
        except InputError:
            check_unpublished(Path("raw"), "annotations/source.json")
            raise
        if Path("raw/unpacked").exists():
            raise AssertionError("expected nothing unpacked to be left")
        return True

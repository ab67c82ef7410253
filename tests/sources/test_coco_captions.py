"""The captions of the CS231n archive from COCO's annotations, on a few and on all of them."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import pytest

from coco_captions import rebuild_captions
from recap.core.input_files import read_json
from recap.errors import InputError
from recap.sources.cs231n import CAPTION_ROWS, IMAGE_ROWS, MEMBER_BYTES

LONG = "a " * 15 + "zebra"


def annotations(part: str, captions: list[tuple[int, str]]) -> bytes:
    ids = sorted({image for image, _ in captions}, reverse=True)
    names = [f"COCO_{part}2014_{image:012}.jpg" for image in ids]
    content = {
        "images": [
            {"id": image, "file_name": name, "flickr_url": f"http://127.0.0.1/{image}.jpg"}
            for image, name in zip(ids, names, strict=True)
        ],
        "annotations": [{"id": 1, "image_id": image, "caption": caption} for image, caption in captions],
    }
    return json.dumps(content).encode()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "annotations_trainval2014.zip"
    with zipfile.ZipFile(path, "w") as archive:
        train = [(1, "A dog's bone, please."), (2, "Two dogs\n"), (1, LONG), (2, "Two dogs!")]
        archive.writestr("annotations/captions_train2014.json", annotations("train", train))
        archive.writestr("annotations/captions_val2014.json", annotations("val", [(7, "The dogs (two)")]))
    return path


def test_words_rows_and_names(tmp_path: Path, archive: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert rebuild_captions(archive, out) == {"vocabulary": 10, "train": 3, "val": 1}
    vocabulary = read_json(out / "coco2014_vocab.json")["idx_to_word"]
    assert vocabulary == [
        "<NULL>",
        "<START>",
        "<END>",
        "<UNK>",
        "a",
        "dogs",
        "two",
        "bone",
        "please",
        "zebra",
    ]
    with h5py.File(out / "coco2014_captions.h5") as hdf5:
        captions, rows = hdf5["train_captions"][:], hdf5["train_image_idxs"][:]
        validation = hdf5["val_captions"][:]
    # image 2 is row 0; the caption of 16 words is counted and left out
    assert rows.tolist() == [0, 0, 1]
    assert captions[:, :6].tolist() == [[1, 6, 5, 2, 0, 0], [1, 6, 5, 2, 0, 0], [1, 4, 5, 7, 8, 2]]
    assert captions.shape == (3, 17)
    assert validation[0, :5].tolist() == [1, 3, 5, 6, 2]
    assert (out / "train2014_images.txt").read_text().splitlines() == [
        "coco/images/train2014/COCO_train2014_000000000002.jpg",
        "coco/images/train2014/COCO_train2014_000000000001.jpg",
    ]
    assert (out / "val2014_urls.txt").read_text() == "http://127.0.0.1/7.jpg\n"


def test_what_is_no_annotations(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(InputError, match="nowhere: expected"):
        rebuild_captions(tmp_path / "nowhere", tmp_path)
    (tmp_path / "captions.json").write_bytes(annotations("train", [(1, "A dog.")]))
    with pytest.raises(InputError, match=r"captions\.json: expected COCO's zip"):
        rebuild_captions(tmp_path / "captions.json", tmp_path)
    assert (tmp_path / "captions.json").is_file()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as empty:
        empty.writestr("a", "b")
    with pytest.raises(InputError, match=r"expected one member captions_train2014\.json, received 0"):
        rebuild_captions(tmp_path / "empty.zip", tmp_path)


TOKENIZE = """
import json, resource, sys
from pathlib import Path
from recap.core.input_files import read_json
from recap.core.raw_data import Source, write_captions, write_source
from recap.sources.splits import deal
from recap.text.config import TokenizeConfig
from recap.text.encode import tokenize
folder = Path(sys.argv[1])
raw = folder / "raw"
if sys.argv[2] == "write":
    for part in ("train", "val"):
        content = read_json(folder / f"captions_{part}2014.json")
        images = content["images"]
        splits = deal([image["id"] for image in images], {"validation": 0.1})
        for split, rows in splits.items() if part == "train" else [("test", range(len(images)))]:
            own = [images[row] for row in rows]
            ids = {image["id"] for image in own}
            kept = [item for item in content["annotations"] if item["image_id"] in ids]
            write_captions(raw, split, own, kept)
    write_source(raw, Source("folder", True, False, False, False, "original"))
else:
    summary = tokenize(raw, folder / "captions", TokenizeConfig("word", 5, None, 17))
    used = resource.getrusage(resource.RUSAGE_SELF)
    # of this program; what getrusage tells includes the process that started it
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    captions = sum(summary[split]["captions"] for split in ("train", "validation", "test"))
    print(json.dumps([captions, used.ru_utime + used.ru_stime, peak / 1e9]))
"""


@pytest.fixture(scope="module")
def official() -> Path:
    """COCO's annotations as pycocoevalcap brings them for SPICE."""
    package = importlib.util.find_spec("pycocoevalcap")
    assert package is not None
    (folder,) = package.submodule_search_locations or ()
    path = Path(folder) / "spice" / "spice-1.0.jar"
    if not path.is_file():
        pytest.skip("needs spice-1.0.jar of pycocoevalcap 1.2, which is absent")
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_captions_of_coco_have_the_known_shapes(tmp_path: Path, official: Path) -> None:
    summary = rebuild_captions(official, tmp_path)
    assert {part: summary[part] for part in CAPTION_ROWS} == CAPTION_ROWS
    for part, count in IMAGE_ROWS.items():
        assert (tmp_path / f"{part}2014_images.txt").read_text().count("\n") == count
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes == {name: size for name, size in MEMBER_BYTES.items() if "fc7" not in name}
    with h5py.File(tmp_path / "coco2014_captions.h5") as hdf5:
        assert {name: data.shape for name, data in hdf5.items()} == {
            "train_captions": (400135, 17),
            "train_image_idxs": (400135,),
            "val_captions": (195954, 17),
            "val_image_idxs": (195954,),
        }


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.timeout(600)
def test_the_vocabulary_is_the_published_one(tmp_path: Path, official: Path, shared: Path) -> None:
    rebuild_captions(official, tmp_path)
    with zipfile.ZipFile(shared / "real" / "coco_captioning_mini.zip") as archive:
        published = json.loads(archive.read("coco_captioning/coco2014_vocab.json"))["idx_to_word"]
    ours = read_json(tmp_path / "coco2014_vocab.json")["idx_to_word"]
    assert set(ours) == set(published)
    assert ours[:20] == published[:20]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_of_coco_is_tokenized_in_a_minute_and_a_gigabyte(tmp_path: Path, official: Path) -> None:
    with zipfile.ZipFile(official) as archive:
        for part in ("train", "val"):
            name = f"captions_{part}2014.json"
            (tmp_path / name).write_bytes(archive.read(f"coco/annotations/{name}"))
    for action in ("write", "tokenize"):
        command = [sys.executable, "-c", TOKENIZE, str(tmp_path), action]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    captions, seconds, gigabytes = json.loads(result.stdout)
    assert captions == 414_113 + 202_654
    assert seconds < 60  # of the processor, as other tests may run beside this one
    assert gigabytes < 1

"""The same pictures and captions in every form that people have them give the same bytes."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recap.core.raw_data import SPLITS
from recap.errors import InputError
from recap.importing.forms import read_captions
from recap.importing.project import Project, import_captions
from recap.sources.folder import fetch_folder

Captions = dict[str, list[str]]
SHARES = {"validation": 0.2, "test": 0.2}
SHORT = {"train": "train", "validation": "val", "test": "test"}
"""What some call the splits."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "given" / "images"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(12):
        pixels = generator.integers(0, 255, (9, 7, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{3 * number:04d}.{'png' if number % 2 else 'jpg'}")
    return folder


def captions_of(images: Path) -> Captions:
    return {
        path.name: [f'A cat, number {number}; it "sits".', "Ein Hund läuft | und bellt"]
        for number, path in enumerate(sorted(images.iterdir()))
    }


def split_of(name: str) -> str:
    """A split that the source itself tells."""
    number = int(name[:4]) // 3
    return SPLITS[0] if number < 6 else SPLITS[1 + number % 2]


def to_coco(
    captions: Captions, folder: Path, *, is_split: bool = False, with_text_ids: bool = False
) -> list[Path]:
    paths = []
    for split in SPLITS if is_split else SPLITS[:1]:
        own = [name for name in captions if not is_split or split_of(name) == split]
        ids = {name: f"image {name}" if with_text_ids else int(name[:4]) for name in own}
        content = {
            "images": [
                {"id": ids[name], "file_name": name, "coco_url": "http://127.0.0.1/x"}
                for name in reversed(own)
            ],
            "annotations": [
                {"id": 9, "image_id": ids[name], "caption": f"{text}\n"}
                for name in own
                for text in captions[name]
            ],
        }
        paths.append(folder / f"instances_{SHORT[split]}.json")
        paths[-1].write_text(json.dumps(content))
    return paths


def to_text_ids(captions: Captions, folder: Path, *, is_split: bool = False) -> list[Path]:
    return to_coco(captions, folder, is_split=is_split, with_text_ids=True)


def to_karpathy(captions: Captions, folder: Path, *, is_split: bool = False) -> list[Path]:
    images = [
        {
            "filepath": "images",
            "filename": name,
            "imgid": number,
            "split": SHORT[split_of(name)] if is_split and number != 2 else "restval",
            "sentences": [{"raw": text, "tokens": ["a"]} for text in own],
        }
        for number, (name, own) in enumerate(captions.items())
    ]
    (folder / "dataset_flickr8k.json").write_text(json.dumps({"images": images, "dataset": "flickr8k"}))
    return [folder / "dataset_flickr8k.json"]


def to_flickr8k(captions: Captions, folder: Path, *, is_split: bool = False) -> list[Path]:
    lines = [
        f"{name}#{i}\t{text.removesuffix(chr(10) + '.')}\n"  # one photograph's caption has two lines
        for name, own in captions.items()
        for i, text in enumerate(own)
    ]
    (folder / "Flickr8k.token.txt").write_text("".join(lines))
    for split, word in (("train", "train"), ("validation", "dev"), ("test", "test")):
        names = [f"{name}\n" for name in captions if is_split and split_of(name) == split]
        (folder / f"Flickr_8k.{word}Images.txt").write_text("".join(names))
    return [folder / "Flickr8k.token.txt"]


def to_kaggle(captions: Captions, folder: Path, *, is_split: bool = False) -> list[Path]:
    return _table(captions, folder / "captions.txt", ",", is_split)


def to_tsv(captions: Captions, folder: Path, *, is_split: bool = False) -> list[Path]:
    return _table(captions, folder / "captions.tsv", "\t", is_split)


def _table(captions: Captions, path: Path, delimiter: str, is_split: bool) -> list[Path]:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["split", "image", "caption"] if is_split else ["image", "caption"])
    for name, own in captions.items():
        for caption in own:
            writer.writerow([SHORT[split_of(name)], name, caption] if is_split else [name, caption])
    path.write_text(text.getvalue())
    return [path]


def to_json_lines(captions: Captions, folder: Path, *, is_split: bool = False) -> list[Path]:
    lines = [
        json.dumps(
            {"file_name": f"images/{name}", "text": own} | ({"split": split_of(name)} if is_split else {})
        )
        for name, own in captions.items()
    ]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return [folder / "metadata.jsonl"]


def to_sidecars(captions: Captions, folder: Path, *, is_split: bool = False) -> list[Path]:
    target = folder / "pictures"
    for name, own in captions.items():
        path = target / split_of(name) / name if is_split else target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "images" / name, path)
        path.with_suffix(".txt").write_text("\n".join(own) + "\n\n")
    return [target]


def to_parquet(captions: Captions, folder: Path, *, is_split: bool = False) -> list[Path]:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    target = folder / "parquet"
    target.mkdir()
    for split in SPLITS if is_split else SPLITS[:1]:
        own = [name for name in captions if not is_split or split_of(name) == split]
        rows = {
            "image": [{"bytes": (folder / "images" / name).read_bytes(), "path": name} for name in own],
            "captions": [captions[name] for name in own],
        }
        name = f"{split}-00000-of-00001.parquet" if is_split else "data.parquet"
        parquet.write_table(pyarrow.table(rows), target / name)
    return [target]


FORMS: list[Callable[..., list[Path]]] = [
    *(
        to_coco,
        to_text_ids,
        to_flickr8k,
        to_kaggle,
        to_tsv,
        to_sidecars,
        to_parquet,
        to_json_lines,
        to_karpathy,
    ),
]
NAMED_OTHERWISE = (to_json_lines, to_karpathy)
"""Whose file names begin with a folder, or that call all images without a split "train"."""


def raw_bytes(project: Project, raw: Path) -> dict[str, bytes]:
    missing = {split: share for split, share in SHARES.items() if split not in project.files}
    fetch_folder(project.images, project.files, missing, raw)
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("form", "is_split"),
    [
        (form, is_split)
        for form in FORMS[:7]
        for is_split in (False, True)
        if form is not to_sidecars or not is_split
    ],
)
def test_every_form_gives_the_same_bytes(tmp_path: Path, images: Path, form, is_split: bool) -> None:
    captions = captions_of(images)
    project = import_captions(form(captions, images.parent, is_split=is_split), None, tmp_path / "project")
    found = raw_bytes(project, tmp_path / "raw")
    reference = import_captions(
        to_coco(captions, tmp_path / "given", is_split=is_split), images, tmp_path / "reference"
    )
    assert found == raw_bytes(reference, tmp_path / "reference_raw")
    assert len(found) == 12 + 3
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_tells_splits_and_captions(tmp_path: Path, images: Path, form) -> None:
    captions = captions_of(images)
    project = import_captions(form(captions, images.parent, is_split=True), None, tmp_path / "project")
    assert {Path(picture.name).name: list(picture.captions) for picture in project.pictures} == captions
    assert all(picture.split == split_of(Path(picture.name).name) for picture in project.pictures)
    assert set(project.files) == set(SPLITS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'image_name| comment_number| comment\na.jpg| 0| Two men, "old\nb.jpg| 1| x',
            {"a.jpg": ('Two men, "old',), "b.jpg": ("x",)},
        ),
        ("image,caption\na.jpg,A dog, a cat\n", {"a.jpg": ("A dog, a cat",)}),
        ("\ufeffFilename;Caption_1;Caption_2\na.jpg;x;y\n\n", {"a.jpg": ("x", "y")}),
        ("a.jpg,hello\nb.png,you\n", {"a.jpg": ("hello",), "b.png": ("you",)}),
        ('filename,raw\na.jpg,"[""one"", ""two""]"\n', {"a.jpg": ("one", "two")}),
        ('image,caption\na.jpg,"two\nlines"\n', {"a.jpg": ("two\nlines",)}),
        ('image,caption\na.jpg,"[""a dog"", 1]"\n', {"a.jpg": ('["a dog", 1]',)}),
        ('{"image": "a.jpg", "caption": "x"}', {"a.jpg": ("x",)}),
        (
            '{"image": "a.jpg", "caption": "x\u2028y"}\n{"image": "b", "caption": "z"}',
            {"a.jpg": ("x\u2028y",), "b": ("z",)},
        ),
        ("a.jpg#0\tA cat\x85 sits\r\na.jpg#1\tx\n", {"a.jpg": ("A cat\x85 sits", "x")}),
        ('[{"image": "a\\\\b.jpg", "captions": ["x", "y"]}]', {"a/b.jpg": ("x", "y")}),
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, text: str, expected: dict[str, tuple[str, ...]]) -> None:
    (tmp_path / "captions").write_text(text, encoding="utf-8")
    found = read_captions(tmp_path / "captions", tmp_path)
    assert {picture.name: picture.captions for picture in found.pictures} == expected


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-8", ""), ("utf-16", "UTF-16"), ("cp1252", "Windows-1252")]
)
def test_encodings_are_found_and_told(tmp_path: Path, encoding: str, said: str) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,Ein Kätzchen\n", encoding=encoding)
    found = read_captions(tmp_path / "captions.csv", tmp_path)
    assert found.pictures[0].captions == ("Ein Kätzchen",)
    assert found.form.endswith(said)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "received an empty file"),
        (b"hello world\n", "received a file that begins with 'hello world'"),
        (b'{"a": 1}', "received JSON with a"),
        (b'{"a": 1', "expected JSON"),
        (b'{"image": "a.jpg", "caption": "x"}\n{"image": \n', "line 2: expected JSON"),
        (b'[{"image": "a.jpg"}]', "row 1: expected a caption, received image"),
        (b'[{"caption": "a"}]', "row 1: expected the name of an image, received caption"),
        (b'[{"image": "a.jpg", "caption": 3}]', "row 1: expected captions as text, received '3'"),
        (b"[3]", "row 1: expected an object, received '3'"),
        (b"image,split,caption\na.jpg,tset,x\n", "row 1: expected a split .*, received 'tset'"),
        (b"image,split,caption\na.jpg,test,x\na.jpg,train,x\n", "row 2: expected a.jpg in one split"),
        (b"image,caption\na.jpg\n", "line 2: expected 2 columns, received 1"),
        (b'{"images": [], "annotations": []}', "expected at least one of images"),
        (b'{"images": [{"sentences": []}]}', r"images\[0\]: expected an object with filename"),
        (b"PAR1 and nothing", "expected a Parquet file"),
        (b'image,caption\na.jpg,"a dog\nb.jpg,a cat\n', "expected a table, received: unexpected end of data"),
        (b'{"images": [5]}', "received JSON with images"),
        (b'{"images": [],\n "images": []}', 'the key "images" twice in an object'),
        (b'{"image": "a.jpg", "caption": "x"}\n{"image": "b", "image": "c"}', 'line 2: .*"image" twice'),
        (b"image,caption,caption\na.jpg,x,y\n", "expected every column once, received 'caption' twice"),
        (
            b"a.jpg#0\tA cat\nb.jpg A dog\n",
            "line 2: expected NAME#N, a tab and a caption, received 'b.jpg A dog'",
        ),
        (
            b'{"images": [{"id": 9223372036854775808, "file_name": "a.jpg"}], "annotations": []}',
            "expected an integer of at most 64 bits, received 9223372036854775808",
        ),
        (
            b'{"images": [{"filename": "a.jpg", "sentences": [], "cocoid": 1000000000000000000000}]}',
            r"cocoid: expected an integer of at most 64 bits",
        ),
        (b'{"images": [{"filename": "a.jpg", "sentences": [{"tokens": [1]}]}]}', "expected tokens as a list"),
        (b'{"images": [{"filename": "a.jpg", "sentences": [{"tokens": 5}]}]}', "expected tokens as a list"),
        (b'{"image": "a.jpg", "caption": "x"}\n' + b"[" * 200_000, "line 2: expected JSON"),
    ],
)
def test_what_is_no_captions_is_told_in_a_line(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "captions").write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_captions(tmp_path / "captions", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_parquet_whose_texts_are_no_utf_8_is_told_in_a_line(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    text = pyarrow.array([b"caf\xe9"]).cast(pyarrow.string(), safe=False)
    parquet.write_table(pyarrow.table({"image": ["a.png"], "caption": text}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: expected a Parquet file, received: .*utf-8"):
        read_captions(tmp_path / "a.parquet", tmp_path)


@pytest.mark.shared
def test_photographs_from_every_form_give_the_same_bytes(tmp_path: Path, shared: Path) -> None:
    real, given = shared / "real", tmp_path / "given"
    given.mkdir()
    (given / "images").symlink_to(real / "images")
    captions: Captions = {}
    for part in ("train", "val"):
        content = json.loads((real / f"images_captions_{part}.json").read_text())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for annotation in content["annotations"]:
            captions.setdefault(names[annotation["image_id"]], []).append(annotation["caption"])
    content = {
        "images": [{"id": int(Path(name).stem), "file_name": name} for name in captions],
        "annotations": [
            {"image_id": int(Path(name).stem), "caption": text}
            for name, own in captions.items()
            for text in own
        ],
    }
    (given / "captions.json").write_text(json.dumps(content))
    forms = {"coco": [given / "captions.json"]}
    for form in (to_kaggle, to_flickr8k, to_sidecars):
        forms[form.__name__] = form(captions, given)
    found = {}
    for name, sources in forms.items():
        project = import_captions(sources, None, tmp_path / name)
        found[name] = raw_bytes(project, tmp_path / f"raw_{name}")
    assert len(found["coco"]) == 325 + 3
    assert all(own == found["coco"] for own in found.values())

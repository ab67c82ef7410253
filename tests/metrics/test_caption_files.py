"""Captions are read from the files that people keep them in."""

import json

import pytest

from recap.errors import InputError
from recap.metrics.files.caption_files import read_captions

EXPECTED = {"a.jpg": ["A cat.", "One, cat"], "2": ["Dogs run."]}
PAIRS = [(image, caption) for image, own in EXPECTED.items() for caption in own]
COCO = {
    "images": [{"id": "a.jpg"}, {"id": 2}],
    "annotations": [{"image_id": image, "caption": caption} for image, caption in PAIRS],
}
FILES = {
    "coco.json": json.dumps(COCO),
    "results.json": json.dumps(COCO["annotations"]),
    "dictionary.json": json.dumps(EXPECTED),
    "lines.jsonl": "\n".join(
        json.dumps({"image": image, "captions": own}) for image, own in EXPECTED.items()
    ),
    "single.ndjson": "\n\n".join(map(json.dumps, COCO["annotations"])) + "\n",
    "flickr8k.csv": 'image,caption\na.jpg,A cat.\na.jpg,"One, cat"\n2,Dogs run.\n',
    "flickr30k.csv": "image_name| number| comment\na.jpg| 0| A cat.\na.jpg| 1| One, cat\n2|0|Dogs run.\n",
    "table.tsv": "\ufeffcaption\timage_id\r\nA cat.\ta.jpg\r\nOne, cat\ta.jpg\r\nDogs run.\t2\r\n",
}


@pytest.mark.parametrize("name", FILES)
def test_every_form_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name].encode())
    assert read_captions(str(tmp_path / name)) == EXPECTED


def test_parallel_text_files_go_together(tmp_path):
    first, second = tmp_path / "one.txt", tmp_path / "two, more.txt"
    first.write_text("a cat\na dog\n")
    second.write_text("the cat\n\n")
    assert read_captions(str(second)) == {"1": ["the cat"], "2": [""]}
    third = second.rename(tmp_path / "two.txt")
    assert read_captions(f"{first},{third}") == {"1": ["a cat", "the cat"], "2": ["a dog", ""]}
    third.write_text("the cat\n")
    with pytest.raises(InputError, match=r"two.txt: expected 2 lines as in .*one.txt, received 1"):
        read_captions(f"{first},{third}")


def test_an_image_without_captions_is_kept(tmp_path):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({**COCO, "images": [*COCO["images"], {"id": 9}]}))
    assert read_captions(str(path)) == EXPECTED | {"9": []}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "3", "expected an object or a list, received 3"),
        ("a.json", "[3]", r"\\[0\\]: expected an object, received 3"),
        ("a.json", '[{"image_id": 1.5, "caption": "a"}]', "text or a number, received image_id, caption"),
        ("a.json", '[{"image_id": 1}]', "expected caption or captions or comment or text, received image_id"),
        ("a.json", '{"1": [2]}', "'1': expected text, received 2"),
        ("a.json", '{"images": [{"id": 1}, {"id": 1}], "annotations": []}', "received image id 1 again"),
        ("a.json", '{"images": 1, "annotations": []}', "expected a list of images, received 1"),
        (
            "a.json",
            '{"images": [], "annotations": [{"image_id": 1}]}',
            "expected the id of an image in images",
        ),
        ("a.json", "{}", "expected at least one caption, received none"),
        ("a.jsonl", "{}\n{", "line 1: expected image_id"),
        ("a.jsonl", "{", "line 1: expected JSON"),
        ("a.csv", "image,words\n1,a\n", "line 1: expected a column caption .* received image, words"),
        ("a.csv", "", "expected at least one caption, received none"),
        (
            "a.csv",
            "image,caption\n1,a cat\n2,a dog, and a ball\n",
            "line 3: expected 2 cells as in the header, received 3; a cell that holds ',' is put in double",
        ),
        ("a.csv", "image,caption,split\n1,a cat\n", "line 2: expected 3 cells as in the header, received 2"),
        ("a.tsv", "image\tcaption\n1\ta cat\tsits\n", "line 2: expected 2 cells .*, received 3"),
        ("a.csv", 'image,caption\n1,"a cat\n2,a dog\n', "expected a table, received: unexpected end of data"),
        ("a.tsv", 'image\tcaption\n1\t"yes" he said\n', "line 2: expected a table, received"),
        ("a.csv", "image,caption,Caption\n1,a cat,a dog\n", "expected every column once, received 'caption'"),
        ("a.json", '{"1": "a cat", "1": "a dog"}', 'expected JSON, received: the key "1" twice in an object'),
        ("a.jsonl", '{"image": 1, "caption": "a", "caption": "b"}', 'line 1: .* the key "caption" twice'),
        ("a.txt", b"\xff\xfe", "expected text in UTF-8, received another encoding: byte 0xff at 0"),
        ("a.xlsx", b"PK", "expected captions in .json, .jsonl, .csv, .tsv or .txt, received another file"),
        (
            "a.json",
            b'{"image_id": 1, "caption": "a cat"}',
            "expected a list of results, received a single one",
        ),
        ("a.csv", b"picture,text\n1,a\n", "line 1: expected a column image_id or .* received picture, text"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message.replace("\\\\", "\\")):
        read_captions(str(path))
    with pytest.raises(InputError, match="expected a readable file"):
        read_captions(str(tmp_path / f"absent-{name}"))

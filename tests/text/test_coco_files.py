"""References and results are read; what is wrong is told in one line."""

import json

import pytest

from recap.errors import InputError
from recap.text.coco_files import read_references

IMAGES = [{"id": 7}, {"id": 3, "part": "seen"}]
ANNOTATIONS = [
    {"id": 0, "image_id": 3, "caption": "A dog."},
    {"id": 1, "image_id": 7, "caption": "A cat."},
    {"id": 2, "image_id": 3, "caption": "The dog."},
]


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "file.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_references_keep_the_order_of_images_and_of_annotations(write):
    references = read_references(write({"images": IMAGES, "annotations": ANNOTATIONS}))
    assert references.image_ids == (7, 3)
    assert references.captions == (("A cat.",), ("A dog.", "The dog."))
    assert references.parts == ("test", "seen")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected an object with images and annotations, received a list"),
        ({}, "expected a list of images, received nothing"),
        ({"images": []}, "expected a list of annotations, received nothing"),
        ({"images": [], "annotations": []}, "expected at least one of images"),
        ({"images": IMAGES + IMAGES[:1], "annotations": ANNOTATIONS}, r"images\[2\]: .* image id 7 again"),
        ({"images": IMAGES[:1], "annotations": ANNOTATIONS}, r"annotations\[0\]: .* received 3"),
        ({"images": IMAGES, "annotations": ANNOTATIONS[1:2]}, "received none for image 3"),
        ({"images": IMAGES, "annotations": [{"image_id": 7, "caption": None}]}, "expected text"),
    ],
)
def test_bad_references_are_told_in_one_line(write, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_references(write(content))
    assert "\n" not in str(error.value)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.json: expected a readable file"):
        read_references(tmp_path / "absent.json")

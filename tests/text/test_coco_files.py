"""References and results are read; what is wrong is told in one line."""

import json

import pytest

from recap.errors import InputError
from recap.text.coco_files import read_references, read_results

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
    assert references.parts == ("validation", "seen")


def test_results_come_in_the_order_of_the_references(write):
    results = [{"image_id": 3, "caption": "b", "score": 1}, {"image_id": 7, "caption": "a"}]
    assert read_results(write(results), [7, 3]) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "expected JSON"),
        ('"text"', "expected a list of results, received text"),
        ([1], r"results\[0\]: expected an object, received a number"),
        ([{"caption": "a"}], r"results\[0\].image_id: expected an integer, received nothing"),
        ([{"image_id": "7", "caption": "a"}], r'image_id: expected an integer, received "7"'),
        ([{"image_id": True, "caption": "a"}], "image_id: expected an integer, received true"),
        ([{"image_id": 7, "caption": 5}], r"results\[0\].caption: expected text, received 5"),
        ([{"image_id": 7}], r"results\[0\].caption: expected text, received nothing"),
        ([{"image_id": 9, "caption": "a"}], "expected an image of the references, received image id 9"),
        ([{"image_id": 7, "caption": "a"}] * 2, r"results\[1\]: .* received image id 7 again"),
        ([{"image_id": 7, "caption": "a"}], "received none for 3"),
        ([], "received none for 7 and 1 more"),
    ],
)
def test_bad_results_are_told_in_one_line(write, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_results(write(content), [7, 3])
    assert "\n" not in str(error.value)
    assert "file.json" in str(error.value)


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

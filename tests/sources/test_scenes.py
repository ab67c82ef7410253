"""The source `scenes` on disk: rows agree, splits share no digit image, a seed gives the same bytes."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recap.core.raw_data import SPLITS
from recap.sources.config import ScenesConfig
from recap.sources.draw_scenes import write_scenes
from recap.sources.scenes.graphs import (
    BACKGROUNDS,
    COLOURS,
    SIDE,
    SIZES,
    Scene,
    SceneObject,
    held_out_pairs,
)
from recap.sources.scenes.rendering import PALETTE, PLAIN, digit_masks, load_digit_images, render

CONFIG = ScenesConfig(train_images=60, validation_images=20, test_images=30, seed=3)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("raw")
    write_scenes(CONFIG, directory)
    return directory


def read(raw: Path, name: str) -> dict:
    return json.loads((raw / "annotations" / name).read_text())


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(("split", "count"), [("train", 60), ("validation", 20), ("test", 30)])
def test_images_captions_and_graphs_are_in_the_same_order(raw: Path, split: str, count: int) -> None:
    captions, graphs = read(raw, f"captions_{split}.json"), read(raw, f"scenes_{split}.json")
    ids = [image["id"] for image in captions["images"]]
    assert len(set(ids)) == count
    assert [graph["image_id"] for graph in graphs] == ids
    assert [note["image_id"] for note in captions["annotations"]] == [i for i in ids for _ in range(5)]
    names = [image["file_name"] for image in captions["images"]]
    assert sorted(path.name for path in (raw / "images" / split).iterdir()) == names
    with Image.open(raw / "images" / split / names[0]) as image:
        assert (image.mode, image.size) == ("RGB", (SIDE, SIDE))


def test_ids_of_the_splits_differ(raw: Path) -> None:
    ids = [image["id"] for split in SPLITS for image in read(raw, f"captions_{split}.json")["images"]]
    assert len(set(ids)) == 110


def test_an_image_shows_the_colours_of_its_graph(raw: Path) -> None:
    for graph in read(raw, "scenes_train.json")[:20]:
        with Image.open(raw / "images" / "train" / f"{graph['image_id']:06d}.png") as image:
            pixels = np.asarray(image).astype(int)
        for object_ in graph["objects"]:
            left, top, right, bottom = object_["box"]
            patch = pixels[top:bottom, left:right].reshape(-1, 3)  # (h, w, 3) -> (h * w, 3)
            distances = {
                name: np.abs(patch - np.array(colour)).max(axis=1).min() for name, colour in PALETTE.items()
            }
            assert min(distances, key=lambda name: distances[name]) == object_["colour"]


@pytest.mark.parametrize("test_images", [30, 3000])
def test_splits_share_no_digit_image(tmp_path: Path, test_images: int) -> None:
    """Also where test scenes would show every digit image that training does not."""
    write_scenes(replace(CONFIG, test_images=test_images), tmp_path)
    shown = {
        split: {
            (object_["digit"], object_["digit_image"])
            for graph in read(tmp_path, f"scenes_{split}.json")
            for object_ in graph["objects"]
        }
        for split in SPLITS
    }
    for one, other in itertools.combinations(SPLITS, 2):
        assert not shown[one] & shown[other]
    labels = load_digit_images()[1]
    assert all(labels[image] == digit for own in shown.values() for digit, image in own)


def test_how_many_scenes_choose_changes_no_other_scene(raw: Path, tmp_path: Path) -> None:
    write_scenes(replace(CONFIG, validation_images=3), tmp_path)
    others = {name: content for name, content in contents(tmp_path).items() if "validation" not in name}
    assert others == {name: content for name, content in contents(raw).items() if "validation" not in name}


def test_unseen_scenes_have_a_pair_that_training_has_not_and_seen_ones_none(raw: Path) -> None:
    def pairs(graph: dict) -> set[tuple[str, int]]:
        return {(object_["colour"], object_["digit"]) for object_ in graph["objects"]}

    training = set().union(*(pairs(graph) for graph in read(raw, "scenes_train.json")))
    held_out = set(held_out_pairs(CONFIG.seed))
    assert not training & held_out
    parts = [image["part"] for image in read(raw, "captions_test.json")["images"]]
    assert (parts.count("seen"), parts.count("unseen")) == (20, 10)
    for part, graph in zip(parts, read(raw, "scenes_test.json"), strict=True):
        if part == "seen":
            assert pairs(graph) <= training
        else:
            assert pairs(graph) & held_out
    assert all(pairs(graph) <= training for graph in read(raw, "scenes_validation.json"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(raw: Path, tmp_path: Path) -> None:
    write_scenes(CONFIG, tmp_path / "same")
    assert contents(tmp_path / "same") == contents(raw)
    write_scenes(replace(CONFIG, seed=4), tmp_path / "other")
    assert contents(tmp_path / "other") != contents(raw)


def test_the_smallest_data_set_has_both_parts(tmp_path: Path) -> None:
    summary = write_scenes(
        ScenesConfig(train_images=10, validation_images=1, test_images=3, seed=0), tmp_path
    )
    assert summary == {
        "train": {"images": 10, "captions": 50},
        "validation": {"images": 1, "captions": 5},
        "test": {"images": 3, "captions": 15, "seen": 2, "unseen": 1},
    }


def test_digits_stand_out_from_every_background_and_backgrounds_from_each_other() -> None:
    masks = digit_masks(load_digit_images()[0])
    generator = np.random.default_rng(0)
    for colour in COLOURS:
        for background in BACKGROUNDS:
            object_ = SceneObject(0, colour, "large", (32, 32), (18, 18, 46, 46), 0)
            empty = render([Scene(background, "center", ())], masks, np.random.default_rng(1))[0].astype(int)
            drawn = render([Scene(background, "center", (object_,))], masks, generator)[0].astype(int)
            inked = masks["large"][0] > 250
            contrast = np.abs(
                drawn[18:46, 18:46][inked].mean(axis=0) - empty[18:46, 18:46][inked].mean(axis=0)
            )
            assert contrast.max() > 60, (colour, background)
    plain = np.array(list(PLAIN.values()))
    assert np.abs(plain[:, None] - plain[None]).max(axis=2)[~np.eye(len(plain), dtype=bool)].min() > 60


def test_masks_are_readable_and_as_large_as_said() -> None:
    images, labels = load_digit_images()
    masks = digit_masks(images)
    assert {name: opacity.shape for name, opacity in masks.items()} == {
        name: (len(labels), side, side) for name, side in SIZES.items()
    }
    for opacity in masks.values():
        ink = (opacity > 127).mean(axis=(1, 2))
        assert ink.min() > 0.05
        assert ink.max() < 0.6

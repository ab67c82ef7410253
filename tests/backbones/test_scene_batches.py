"""Training batches: always new drawings of the training scenes, labelled right, with no other digit image."""

import numpy as np
import pytest

from recap.backbones.scene_batches import SceneBatches
from recap.backbones.scene_heads import HEADS, NONE, OBJECT_HEADS, scene_labels
from recap.sources.scenes.graphs import DIGITS, Scene, sample_scene, training_pairs
from recap.sources.scenes.rendering import PALETTE

IMAGES = [[digit, digit + 10] for digit in DIGITS]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    generator = np.random.default_rng(0)
    return [sample_scene(generator, IMAGES, training_pairs(0)) for _ in range(50)]


def named(row: np.ndarray) -> dict[str, str]:
    return {name: labels[i] for (name, labels), i in zip(HEADS.items(), row.tolist(), strict=True)}


def test_labels_name_every_attribute(scenes: list[Scene]) -> None:
    for scene, row in zip(scenes, scene_labels(scenes), strict=True):
        labels = named(row)
        assert (labels["background"], labels["arrangement"]) == (scene.background, scene.arrangement)
        for name, object_ in zip(("first", "second"), (*scene.objects, None), strict=False):
            read = [labels[f"{name}_{head}"] for head in ("digit", "colour", "size")]
            expected = [str(object_.digit), object_.colour, object_.size] if object_ else [NONE] * 3
            assert read == expected


def test_heads_are_in_the_order_that_json_keeps() -> None:
    assert list(HEADS) == sorted(HEADS)


def test_each_scene_comes_once_before_any_comes_again(scenes: list[Scene]) -> None:
    batches = SceneBatches(scenes, 0)
    rows = np.concatenate([labels for _, labels in batches.whole(range(5), 20)])
    expected = sorted(scene_labels(scenes).tolist())
    assert sorted(rows[:50].tolist()) == sorted(rows[50:].tolist()) == expected


def test_drawings_are_new_each_time_and_the_same_for_a_seed(scenes: list[Scene]) -> None:
    first, second = (
        [pixels for pixels, _ in SceneBatches(scenes, seed).whole(range(2), 50)] for seed in (3, 3)
    )
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    seen = {drawing.tobytes() for pixels in first for drawing in pixels}
    assert len(seen) == 100
    assert not np.array_equal(first[0], next(SceneBatches(scenes, 4).whole([0], 50))[0])


def test_a_step_is_drawn_alike_whatever_was_drawn_before(scenes: list[Scene]) -> None:
    for draw in (SceneBatches(scenes, 3).whole, SceneBatches(scenes, 3).crops):
        whole, later = list(draw(range(6), 16)), list(draw(range(4, 6), 16))
        for (pixels, labels), (again, same) in zip(whole[4:], later, strict=True):
            assert np.array_equal(pixels, again)
            assert np.array_equal(labels, same)


def test_only_the_digit_images_of_the_scenes_are_shown(scenes: list[Scene]) -> None:
    shown = {object_.digit_image for scene in scenes for object_ in scene.objects}
    assert {image for images in SceneBatches(scenes, 0).digit_images for image in images} == shown


def test_crops_show_the_digit_of_their_label(scenes: list[Scene]) -> None:
    crops, labels = next(SceneBatches(scenes, 0).crops([0], 30))
    assert crops.shape[1:] == (32, 32, 3)
    assert len(crops) == len(labels) > 30
    columns = list(OBJECT_HEADS)
    for crop, row in zip(crops.astype(int), labels, strict=True):
        colour = OBJECT_HEADS["colour"][row[columns.index("colour")]]
        middle = crop[6:-6, 6:-6].reshape(-1, 3)  # (20, 20, 3) -> (400, 3)
        assert np.abs(middle - np.array(PALETTE[colour])).max(axis=1).min() < 25


def test_no_digit_is_drawn_in_a_colour_in_which_training_never_shows_it(scenes: list[Scene]) -> None:
    shown = {(str(object_.digit), object_.colour) for scene in scenes for object_ in scene.objects}
    batches = SceneBatches(scenes, 0)
    for draw, heads, places in (
        (batches.whole, HEADS, ("first_", "second_")),
        (batches.crops, OBJECT_HEADS, ("",)),
    ):
        columns = list(heads)
        for _, labels in draw(range(10), 50):
            for row in labels.tolist():
                for place in places:
                    digit, colour = (
                        heads[place + kind][row[columns.index(place + kind)]] for kind in ("digit", "colour")
                    )
                    assert (digit, colour) in shown | {(NONE, NONE)}

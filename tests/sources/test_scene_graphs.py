"""Scenes: what may be said about their places is never in doubt, and digit images are split for good."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.errors import InputError
from recap.sources.scenes.graphs import (
    ARRANGEMENTS,
    COLOURS,
    DIGITS,
    OPPOSITE,
    POSITIONS,
    SIDE,
    SIZES,
    Scene,
    from_json,
    held_out_pairs,
    position_holds,
    relation_holds,
    resample,
    sample_scene,
    split_digit_images,
    to_json,
    training_pairs,
)

IMAGES = [[10 * digit, 10 * digit + 1] for digit in DIGITS]


def scene_of(seed: int) -> Scene:
    return sample_scene(np.random.default_rng(seed), IMAGES, training_pairs(0))


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_digits_lie_inside_and_apart(seed: int) -> None:
    scene = scene_of(seed)
    boxes = [object_.box for object_ in scene.objects]
    for object_, (left, top, right, bottom) in zip(scene.objects, boxes, strict=True):
        assert min(left, top) >= 0
        assert max(right, bottom) <= SIDE
        assert right - left == bottom - top == SIZES[object_.size]
        assert object_.center == ((left + right) // 2, (top + bottom) // 2)
        assert object_.digit_image in IMAGES[object_.digit]
    if len(boxes) == 2:
        assert boxes[0][2] <= boxes[1][0] or boxes[0][3] <= boxes[1][1]
        assert (scene.objects[0].digit, scene.objects[0].colour) != (
            scene.objects[1].digit,
            scene.objects[1].colour,
        )


@given(seeds)
def test_exactly_one_relation_holds_and_its_opposite_for_the_other(seed: int) -> None:
    scene = scene_of(seed)
    if len(scene.objects) == 2:
        first, second = scene.objects
        expected = "left of" if scene.arrangement == "side by side" else "above"
        assert [name for name in OPPOSITE if relation_holds(name, first, second)] == [expected]
        assert [name for name in OPPOSITE if relation_holds(name, second, first)] == [OPPOSITE[expected]]


@given(seeds)
def test_a_lone_digit_is_where_its_arrangement_says_and_at_no_other_corner_or_middle(seed: int) -> None:
    scene = scene_of(seed)
    if len(scene.objects) == 1:
        holding = [name for name in POSITIONS if position_holds(name, scene.objects[0])]
        words = scene.arrangement.split()
        assert sorted(holding) == sorted({scene.arrangement, *words})


@given(seeds)
def test_sides_of_a_pair_hold(seed: int) -> None:
    scene = scene_of(seed)
    if len(scene.objects) == 2:
        low, high = ("left", "right") if scene.arrangement == "side by side" else ("top", "bottom")
        assert position_holds(low, scene.objects[0])
        assert position_holds(high, scene.objects[1])


@given(seeds, seeds)
def test_drawn_afresh_keeps_all_that_captions_tell(seed: int, other: int) -> None:
    scene = scene_of(seed)
    again = resample(scene, np.random.default_rng(other), IMAGES)
    assert (again.background, again.arrangement) == (scene.background, scene.arrangement)
    attributes = [[(o.digit, o.colour, o.size) for o in s.objects] for s in (scene, again)]
    assert attributes[0] == attributes[1]
    for name in POSITIONS:
        if len(scene.objects) == 1:
            assert position_holds(name, scene.objects[0]) == position_holds(name, again.objects[0])


@settings(max_examples=20)
@given(seeds)
def test_scene_graphs_survive_json(seed: int) -> None:
    scene = scene_of(seed)
    assert from_json(json.loads(json.dumps(to_json(scene, 7)))) == scene


def test_what_is_no_scene_graph_is_refused() -> None:
    with pytest.raises(InputError, match="expected background, arrangement, objects"):
        from_json({"background": "white", "objects": [{"digit": 3}]})


@given(st.integers(0, 1000))
def test_each_digit_misses_a_colour_and_no_colour_misses_more_than_two_digits(seed: int) -> None:
    held_out, allowed = held_out_pairs(seed), training_pairs(seed)
    assert [digit for _, digit in held_out] == list(DIGITS)
    assert all([colour for colour, _ in held_out].count(colour) <= 2 for colour in COLOURS)
    assert sorted(held_out + allowed) == sorted((colour, digit) for colour in COLOURS for digit in DIGITS)


def test_digit_images_are_split_by_class_and_never_shared() -> None:
    labels = np.repeat(np.arange(10), 20)
    training, held_out = split_digit_images(labels, seed=5)
    for digit in DIGITS:
        assert len(training[digit]) == 16
        assert len(held_out[digit]) == 4
        assert {labels[i] for i in training[digit] + held_out[digit]} == {digit}
    flat = sorted(i for images in training + held_out for i in images)
    assert flat == list(range(200))


def test_every_arrangement_and_size_is_drawn() -> None:
    scenes = [scene_of(seed) for seed in range(400)]
    assert {scene.arrangement for scene in scenes} == set(ARRANGEMENTS)
    pairs = [tuple(o.size for o in scene.objects) for scene in scenes if len(scene.objects) == 2]
    assert len(set(pairs)) == 4
    assert 0.5 < len(pairs) / len(scenes) < 0.7

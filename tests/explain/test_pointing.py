"""The pointing game and the mass score: which words name what, and where a map lies."""

import numpy as np
import pytest

from recap.explain.pointing import area_of, digit_places, mass_in, named_objects, points_at
from recap.sources.scenes.graphs import Scene, SceneObject

RED_SEVEN = SceneObject(7, "red", "small", (20, 20), (10, 10, 30, 30), 0)
BLUE_SEVEN = SceneObject(7, "blue", "large", (48, 20), (34, 6, 62, 34), 0)
ONE = SceneObject(1, "green", "small", (20, 50), (10, 40, 30, 60), 0)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red seven above a green 1", [(2, RED_SEVEN), (6, ONE)]),
        ("two digits a large blue 7 and a red seven", [(5, BLUE_SEVEN), (9, RED_SEVEN)]),
        ("one digit a number one in green", [(4, ONE)]),
        ("a green nothing", []),
        ("a red three", []),
    ],
)
def test_digit_words_find_their_objects(caption: str, expected: list[tuple[int, SceneObject]]) -> None:
    scene = Scene("white", "side by side", (RED_SEVEN, BLUE_SEVEN, ONE))
    assert named_objects(caption.split(), scene) == expected


def test_a_count_is_no_digit() -> None:
    assert digit_places(["one", "digit", "a", "red", "one", "and", "two", "digits"]) == [4]


def test_a_map_on_the_box_points_at_it() -> None:
    heat = np.zeros((64, 64))
    heat[15, 25] = 1
    assert points_at(heat, (20, 10, 40, 30))
    assert not points_at(heat, (10, 20, 30, 40))
    assert mass_in(heat, (20, 10, 40, 30)) == 1
    assert mass_in(heat, (10, 20, 30, 40)) == 0
    assert mass_in(np.zeros((64, 64)), (0, 0, 64, 64)) == 0


def test_a_random_map_scores_about_the_area() -> None:
    generator = np.random.default_rng(0)
    box = (10, 20, 34, 52)
    maps = generator.random((600, 64, 64))
    area = area_of(box, 64)
    assert area == 24 * 32 / 64**2
    assert abs(np.mean([mass_in(heat, box) for heat in maps]) - area) < 0.01
    assert abs(np.mean([points_at(heat, box) for heat in maps]) - area) < 0.05

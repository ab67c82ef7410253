"""A caption is true when all it claims holds: the grammar's own always, one changed attribute never."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recap.metrics.truth import Claim, balance, check_caption, is_true
from recap.sources.scenes import captions as grammar
from recap.sources.scenes.captions import write_captions
from recap.sources.scenes.graphs import (
    DIGITS,
    OPPOSITE,
    Scene,
    SceneObject,
    sample_scene,
    to_json,
    training_pairs,
)

seeds = st.integers(0, 2**32 - 1)
OPPOSITE_POSITIONS = {
    "top left": "bottom right",
    "top right": "bottom left",
    "top": "bottom",
    "left": "right",
    "center": "top",
}
OPPOSITE_POSITIONS |= {high: low for low, high in OPPOSITE_POSITIONS.items() if low != "center"}


def drawn(seed: int) -> tuple[Scene, list[str]]:
    generator = np.random.default_rng(seed)
    scene = sample_scene(generator, [[digit] for digit in DIGITS], training_pairs(0))
    return scene, write_captions([scene], 5, generator)[0]


@given(seeds)
def test_captions_of_the_grammar_are_true_of_their_scene(seed: int) -> None:
    scene, captions = drawn(seed)
    for caption in captions:
        claims = check_caption(caption, to_json(scene, 0))
        assert is_true(claims), caption
        kinds = [claim.kind for claim in claims]
        assert kinds.count("digit") == kinds.count("colour") == len(scene.objects)


@settings(max_examples=200)
@given(seeds, st.data())
def test_a_caption_with_one_attribute_changed_is_false(seed: int, data: st.DataObject) -> None:
    scene, captions = drawn(seed)
    caption = data.draw(st.sampled_from(captions))
    words = " " + " ".join(re.findall(r"[a-z0-9]+", caption.lower())) + " "
    kind = data.draw(
        st.sampled_from(["digit", "colour", "size", "position", "relation", "count", "background"])
    )
    values = {
        "digit": grammar.DIGITS,
        "colour": grammar.COLOURS,
        "size": grammar.SIZES,
        "position": grammar.POSITIONS,
        "relation": grammar.RELATIONS,
        "count": grammar.COUNTS,
        "background": grammar.BACKGROUNDS,
    }[kind]
    if kind == "digit":
        words = words.replace(" one digit ", " a single digit ").replace(" two digits ", " a pair of digits ")
    said = [
        (phrase, value) for value, phrases in values.items() for phrase in phrases if f" {phrase} " in words
    ]
    assume(said)
    # the longest phrase: "left of" is part of "to the left of"
    phrase, value = max(said, key=lambda entry: len(entry[0]))
    if kind == "position":
        other = OPPOSITE_POSITIONS[value]
    elif kind == "relation":
        other = OPPOSITE[value]
    else:
        other = data.draw(st.sampled_from([name for name in values if name != value]))
    changed = words.replace(f" {phrase} ", f" {values[other][0]} ", 1)
    claims = check_caption(changed, to_json(scene, 0))
    assert claims, changed
    assert not is_true(claims), changed


def test_a_pair_can_be_mentioned_in_either_order() -> None:
    scene = to_json(PAIR, 0)
    assert is_true(check_caption("a red seven left of a blue three", scene))
    assert is_true(check_caption("a blue three to the right of a red seven", scene))
    claims = check_caption("a blue three left of a red seven", scene)
    assert [claim for claim in claims if not claim.holds] == [Claim("relation", "left of", False)]


def test_a_second_digit_where_there_is_one_fails_in_all_that_it_claims() -> None:
    lone = Scene("white", "top left", PAIR.objects[:1])
    claims = check_caption("a small red seven and a large blue three", to_json(lone, 0))
    failed = sorted(claim.kind for claim in claims if not claim.holds)
    assert (len(claims), failed) == (6, ["colour", "digit", "size"])


@given(seeds)
def test_the_balance_is_of_true_and_false_claims(seed: int) -> None:
    scene, captions = drawn(seed)
    graph = to_json(scene, 0)
    for caption in captions:
        claims = check_caption(caption, graph)
        assert balance(claims) == len(claims)
        assert balance([*claims, Claim("count", "9", False)]) == len(claims) - 1
    assert balance(check_caption("nothing that the grammar says", graph)) == -1


def test_naming_one_digit_of_two_is_true_and_says_less() -> None:
    assert len(check_caption("there is a blue three", to_json(PAIR, 0))) == 2


@pytest.mark.parametrize("caption", ["", "a dog runs", "a red seven left of", "seven seven seven"])
def test_nonsense_claims_nothing(caption: str) -> None:
    assert check_caption(caption, to_json(PAIR, 0)) == []


def test_no_object_answers_for_two_mentions() -> None:
    claims = check_caption("a red seven and a red seven on a dotted background", to_json(PAIR, 0))
    assert sum(not claim.holds for claim in claims) == 2


PAIR = Scene(
    "dotted",
    "side by side",
    (
        SceneObject(7, "red", "small", (14, 30), (4, 20, 24, 40), 0),
        SceneObject(3, "blue", "large", (45, 32), (31, 18, 59, 46), 1),
    ),
)

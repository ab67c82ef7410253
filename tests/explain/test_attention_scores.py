"""Words that have a place, and attention that is or is not there."""

from typing import Any

import pytest
import torch

from recap.backbones.build import build_backbone
from recap.captioner import Captioner
from recap.decoders.attention import AttentionDecoder
from recap.explain.attention_scores import attention_maps, placed_words, score_attention
from recap.sources.scenes.graphs import Scene, SceneObject, to_json
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

SEVEN = SceneObject(7, "red", "small", (12, 12), (2, 2, 22, 22), 0)
THREE = SceneObject(3, "blue", "large", (44, 44), (30, 30, 58, 58), 1)
SCENE = Scene("white", "stacked", (SEVEN, THREE))
TEXT = "a small red seven above a number 3 in blue"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, {3: "digit", 7: "digit", 1: "size", 2: "colour", 9: "colour", 4: "relation"}),
        ("a red seven to the left of a 3", {2: "digit", 8: "digit", 1: "colour", 5: "relation"}),
        ("a red seven at the top and a 3 at the bottom", {2: "digit", 8: "digit", 1: "colour"}),
    ],
)
def test_words_that_have_a_place(text: str, expected: dict[int, str]) -> None:
    placed = placed_words(text.split(), SCENE)
    assert {place: kind for place, kind, _ in placed} == expected
    boxes = {place: own for place, _, own in placed}
    for place, kind in expected.items():
        second = place > len(text.split()) / 2
        assert boxes[place] == [SEVEN.box, THREE.box] if kind == "relation" else [(SEVEN, THREE)[second].box]


def looking_at(place: int) -> Captioner:
    """A captioner whose backbone sees something at one of 64 places, where its decoder looks."""
    words = Vocabulary((*SPECIAL_WORDS, *dict.fromkeys(TEXT.split())))
    backbone = build_backbone({"name": "small_vgg", "feature_dim": 8, "heads": {"digit": ["1", "2"]}}).eval()
    backbone.grid = (64, 96)
    maps = torch.zeros(1, 96, 64)
    maps[:, 0, place] = 1
    backbone.maps = lambda x: maps.view(1, 96, 8, 8)  # type: ignore[method-assign]
    decoder = AttentionDecoder(8, len(words), 4, 4, 4, 0.0, 0.0, (64, 96)).eval()
    decoder.initialise(torch.Generator().manual_seed(0))
    for weight, value in (
        (decoder.key.weight, 0.0),
        (decoder.query.weight, 0.0),
        (decoder.energy.weight, 20.0),
    ):
        torch.nn.init.constant_(weight, value)
    decoder.key.weight.data[:, 0] = 5.0
    return Captioner(decoder, words, backbone=backbone)


@pytest.mark.parametrize(("place", "right"), [(9, ("seven", "relation")), (45, ("3", "relation")), (7, ())])
def test_scores_tell_where_attention_is(place: int, right: tuple[str, ...]) -> None:
    captioner = looking_at(place)
    x = torch.zeros(1, 3, 64, 64)
    scene: dict[str, Any] = to_json(SCENE, 0)
    maps = attention_maps(captioner, x, captioner.score(x, TEXT))
    assert maps.shape == (10, 64, 64)
    row, column = divmod(place, 8)
    assert maps[0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].sum() / maps[0].sum() == pytest.approx(
        1
    )
    scores = score_attention(captioner, x, [TEXT], [scene], seed=0)
    assert {kind: own["words"] for kind, own in scores.items()} == {
        "digit": 2,
        "colour": 2,
        "size": 1,
        "relation": 1,
    }
    for kind, own in scores.items():
        half = (
            {"digit": 0.5, "colour": 0.5, "size": float("seven" in right), "relation": 1.0}[kind]
            if right
            else 0.0
        )
        assert own["pointing_game"] == half
        assert own["mass"] == pytest.approx(half, abs=1e-4)
        assert 0 < own["random_mass"] < 0.5


def test_captions_that_are_false_count_nothing() -> None:
    captioner = looking_at(9)
    false = TEXT.replace("red", "blue")
    assert not score_attention(captioner, torch.zeros(1, 3, 64, 64), [false], [to_json(SCENE, 0)], seed=0)

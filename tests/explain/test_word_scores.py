"""Words that have a place, and maps that are or are not there."""

from typing import Any

import numpy as np
import pytest
import torch

from recap.backbones.build import build_backbone
from recap.captioner import Captioner
from recap.decoders.attention import AttentionDecoder
from recap.explain.pictures.words import word_panels, word_sheet
from recap.explain.pointing import placed_words
from recap.explain.word_attention import word_attention
from recap.explain.word_scores import score_words
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
    backbone.maps = lambda x: maps.view(1, 96, 8, 8) + 0 * x.sum(dim=(1, 2, 3), keepdim=True)  # type: ignore[method-assign]
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
    caption = captioner.score(x, TEXT)
    maps = word_attention(captioner, x[0], torch.tensor(caption.tokens), caption.spans)
    assert maps.shape == (10, 64, 64)
    row, column = divmod(place, 8)
    inside = maps[0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].sum()
    assert inside / maps[0].sum() == pytest.approx(1)
    scores = score_words(captioner, x, [TEXT], [scene], seed=0)
    assert scores.pop("true_captions") == 1
    counts = {"digit": 2, "colour": 2, "size": 1, "relation": 1}
    assert {kind: own["words"] for kind, own in scores.items()} == counts
    for kind, own in scores.items():
        half = {"digit": 0.5, "colour": 0.5, "size": float("seven" in right), "relation": 1.0}[kind]
        expected = half if right else 0.0
        assert own["attention"]["pointing_game"] == own["attention"]["pointing_game_of_two"] == expected
        assert own["attention"]["mass"] == pytest.approx(expected, abs=1e-4)
        assert own["random_map"]["mass"] == pytest.approx(own["area"], abs=0.02)
        assert own["contrast"]["mass"] == 0, "no pixel differs from the others"
    boxes = {"digit": (20 * 20 + 28 * 28) / 2, "size": 20 * 20, "relation": 20 * 20 + 28 * 28}
    for kind, area in boxes.items():
        assert scores[kind]["area"] == pytest.approx(area / 64**2)


def test_pictures_show_where_the_decoder_looks() -> None:
    captioner = looking_at(9)
    x, pixels = torch.zeros(1, 3, 64, 64), np.zeros((64, 64, 3), np.uint8)
    caption = captioner.score(x, TEXT)
    sheet = word_sheet(captioner, x[0], pixels, caption)
    assert sheet.shape == (3 * 64, 11 * 64, 3)
    attention = sheet[128:, 64:128, 0]  # of the first word
    assert (attention[10:14, 10:14] == 255).all()
    assert not attention[24:].any()
    assert not attention[:, 24:].any()
    plain = word_panels(captioner, x[0], pixels, captioner.score(x, ""))
    panels = word_panels(captioner, x[0], pixels, caption)
    assert panels.shape[0] > 4 * plain.shape[0], "two rows of pixels that speak, two of attention"


def test_captions_that_are_false_count_nothing() -> None:
    captioner = looking_at(9)
    false = TEXT.replace("red", "blue")
    scores = score_words(captioner, torch.zeros(1, 3, 64, 64), [false], [to_json(SCENE, 0)], seed=0)
    assert scores == {"true_captions": 0}

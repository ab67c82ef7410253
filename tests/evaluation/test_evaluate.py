"""Captions are scored by part, against references and scene graphs."""

import numpy as np
import pytest
from tests.settings import GREEDY

from recap.evaluation import evaluate as module
from recap.evaluation.config import EvaluateConfig
from recap.evaluation.evaluate import claim_metrics, evaluate, invalid_words
from recap.metrics.scores import score_captions
from recap.metrics.truth import Claim, is_true
from recap.text.coco_files import References

CONFIG = EvaluateConfig(batch_size=4, tokenizer="ptb", bootstrap_resamples=100, seed=1, decoding=GREEDY)
REFERENCES = References(
    image_ids=(5, 2, 9, 4),
    captions=(
        ("A red seven.", "One red seven!"),
        ("A blue two.", "The two is blue."),
        ("A green one.", "Green one."),
        ("A tiny red three.", "The three."),
    ),
    parts=("seen", "unseen", "seen", "unseen"),
)
CAPTIONS = ["a red seven", "a blue three", "a green one", "a tiny red three"]


def test_parts_are_scored_apart_with_the_idf_of_their_own_references():
    evaluation = evaluate(CAPTIONS, REFERENCES, ["A red seven."], None, CONFIG)
    assert set(evaluation.metrics) == {"seen", "unseen"}
    seen = evaluation.metrics["seen"]
    references = [["a red seven", "one red seven"], ["a green one", "green one"]]
    expected = score_captions(["a red seven", "a green one"], references)
    assert {name: seen[name] for name in expected.metrics()} == pytest.approx(expected.metrics())
    assert (seen["images"], seen["references"]) == (2, 4)
    assert seen["novel"] == 0.5
    assert seen["constant_cider_d"] < seen["cider_d"]
    for name, bounds in seen["interval"].items():
        assert bounds["low"] <= seen[name] + 1e-9
        assert bounds["high"] >= seen[name] - 1e-9
    assert [row["cider_d"] for row in evaluation.per_image[::2]] == pytest.approx(expected.cider_d)


def test_results_and_rows_are_in_the_order_of_the_images():
    evaluation = evaluate(CAPTIONS, REFERENCES, [], None, CONFIG)
    assert [row["image_id"] for row in evaluation.results] == [5, 2, 9, 4]
    assert [row["caption"] for row in evaluation.results] == CAPTIONS
    assert [(row["image_id"], row["part"]) for row in evaluation.per_image] == list(
        zip(REFERENCES.image_ids, REFERENCES.parts, strict=True)
    )


def test_truth_is_the_share_of_captions_without_a_false_claim(monkeypatch):
    verdicts = {
        "a red seven": [Claim("colour", "red", True), Claim("digit", "7", True)],
        "a blue three": [Claim("colour", "blue", True), Claim("digit", "3", False)],
        "a green one": [],
        "a tiny red three": [Claim("colour", "red", False), Claim("digit", "3", True)],
    }
    monkeypatch.setattr(module, "check_caption", lambda caption, scene: verdicts[caption])
    evaluation = evaluate(CAPTIONS, REFERENCES, [], [{}] * 4, CONFIG)
    assert [row["truth"] for row in evaluation.per_image] == [1, 0, 0, 0]
    assert [row["failed_claims"] for row in evaluation.per_image] == [[], ["digit"], [], ["colour"]]
    assert evaluation.metrics["seen"]["truth"] == 0.5
    assert evaluation.metrics["seen"]["claims_per_caption"] == 1
    assert evaluation.metrics["unseen"]["failed_claims"] == {"colour": 0.5, "digit": 0.5}


def test_saying_nothing_is_not_true():
    assert not is_true([])
    assert claim_metrics([[], []]) == {"claims_per_caption": 0.0, "failed_claims": {}}


def test_the_same_seed_gives_the_same_metrics():
    first, second = (evaluate(CAPTIONS, REFERENCES, [], None, CONFIG) for _ in range(2))
    assert first == second
    assert all(np.isfinite(row["cider_d"]) for row in first.per_image)


def test_words_that_no_training_caption_has_are_counted():
    assert invalid_words(["a dgo's hat", "a cat"], {"a", "cat", "hat"}) == 1 / 5
    assert invalid_words([""], {"a"}) == 0.0

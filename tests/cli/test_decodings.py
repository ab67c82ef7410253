"""The table of decodings: every one is scored on the same images, beside the rows that the decoder read."""

import numpy as np
import pytest
import torch

from recap.captioner import load_model
from recap.cli.decodings import (
    DECODINGS,
    Scored,
    compare_decodings,
    format_markdown,
)
from recap.decoders.build import build_decoder, save_decoder
from recap.decoders.ensemble import Ensemble
from recap.decoding.caption import usual_constraints
from recap.decoding.generate import generate
from recap.metrics.scores import score_captions
from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL_WORDS, *"abcdefg"))


@pytest.fixture
def folders(tmp_path):
    paths = []
    for seed, name in enumerate(("rnn", "lstm")):
        model = {"name": name, "feature_dim": 5, "vocabulary_size": len(VOCABULARY)}
        model |= {"wordvec_dim": 8, "hidden_dim": 8, "dropout": 0.0}
        decoder = build_decoder(model, torch.Generator().manual_seed(seed))
        decoder.scores.weight.data *= 3
        save_decoder(tmp_path / name, decoder, model)
        paths.append(tmp_path / name)
    return paths


def test_every_decoding_is_scored_beside_its_cost(folders):
    features = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    references = [["a b c", "c d e"], ["f g", "a c"], ["d d e", "e f g"]] * 4
    captions = np.array([[1, 4, 5, 2], [1, 6, 2, 0]], dtype=np.int32)
    training = CaptionedFeatures(captions, np.array([0, 1], dtype=np.int32), features[:2])
    scored = Scored(range(12), features, references, None, VOCABULARY, training)
    model = load_model(folders[:1], torch.device("cpu"))
    rows = compare_decodings(model, scored, 5)
    assert [row["decoding"] for row in rows] == list(DECODINGS)
    greedy = generate(model, features, VOCABULARY, usual_constraints(30), 5)
    assert rows[0]["steps"] == sum(len(caption.log_probabilities) for caption in greedy) / 12
    expected = score_captions([caption.text for caption in greedy], references).metrics()
    assert (rows[0]["cider_d"], rows[0]["bleu_4"]) == (expected["cider_d"], expected["bleu_4"])
    by_name = {row["decoding"]: row for row in rows}
    assert by_name["beam 10"]["log_probability"] > rows[0]["log_probability"]
    assert rows[0]["time"] == 1
    lines = format_markdown(rows).splitlines()
    assert len(lines) == len(rows) + 2
    assert len({line.count("|") for line in lines}) == 1


def test_steps_of_an_ensemble_are_counted_of_all_who_draw(folders):
    features = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    training = CaptionedFeatures(
        np.array([[1, 4, 5, 2]], dtype=np.int32), np.array([0], dtype=np.int32), features
    )
    references = [["a b c"], ["f g"], ["d d e"]]
    scored = Scored(range(3), features, references, None, VOCABULARY, training)
    steps = []
    for names in (folders[:1], [folders[0], folders[0]]):
        rows = compare_decodings(load_model(names, torch.device("cpu")), scored, 5)
        steps.append({row["decoding"]: row["steps"] for row in rows})
    assert steps[0]["greedy"] == steps[1]["greedy"]
    assert steps[1]["consensus of 40"] > 1.5 * steps[0]["consensus of 40"]


def test_several_folders_are_an_ensemble(folders):
    model = load_model(folders, torch.device("cpu"))
    assert isinstance(model, Ensemble)
    assert len(model.members) == 2

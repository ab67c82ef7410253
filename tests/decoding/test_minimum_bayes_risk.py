"""The caption that the others agree with most, restated with the official CIDEr-D."""

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from pycocoevalcap.cider.cider_scorer import CiderScorer
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import normalize
from tests.settings import GREEDY

from recap.decoders.build import build_decoder
from recap.decoders.decoder import Decoder
from recap.decoders.ensemble import Ensemble
from recap.decoding import minimum_bayes_risk as consensus
from recap.decoding.caption import Constraints, usual_constraints
from recap.decoding.minimum_bayes_risk import NEIGHBOURS_WEIGHT, Consensus
from recap.decoding.neighbours import Neighbours, Tokens, captions_of_images
from recap.decoding.sampling import sample
from recap.decoding.search import Words
from recap.decoding.searches import make_search
from recap.errors import InputError
from recap.metrics.cider_d import CiderD, InverseFrequency
from recap.text.batches import CaptionedFeatures
from recap.text.vocabulary import END, NULL, START

VOCABULARY = 9
CAPTIONS = np.array([[1, 4, 5, 2, 0], [1, 4, 2, 0, 0], [1, 6, 5, 7, 2], [1, 8, 5, 2, 0]], dtype=np.int32)
FEATURES = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 0.1], [-1, -1, 0]], dtype=np.float32)
TRAINING = CaptionedFeatures(CAPTIONS, np.array([0, 0, 1, 2], dtype=np.int32), FEATURES)
SAID = captions_of_images(TRAINING)
IDF = InverseFrequency(list(SAID.values()))


@pytest.fixture
def decoder() -> Decoder:
    model = {"name": "lstm", "feature_dim": 3, "vocabulary_size": VOCABULARY, "wordvec_dim": 4}
    decoder = build_decoder(
        model | {"hidden_dim": 6, "dropout": 0.0}, torch.Generator().manual_seed(0)
    ).eval()
    for value in decoder.parameters():
        value.data *= 2
    return decoder


def consensus_of(**settings: Any) -> Consensus:
    return dataclasses.replace(Consensus(IDF, 40, 0.5, 40, 1.0, 0, None), **settings)


def search(decoder: Decoder | Ensemble, count: int, ids: range, settings: Consensus) -> list[list[Words]]:
    features = torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return settings(decoder, features, usual_constraints(6), ids)


def test_n_grams_are_rare_by_images_and_the_end_counts() -> None:
    assert IDF[(4,)] == pytest.approx(np.log(3))
    assert IDF[(5,)] == pytest.approx(0)
    assert IDF[(5, END)] == pytest.approx(np.log(3 / 2))
    assert IDF[(1000,)] == pytest.approx(np.log(3))
    assert IDF[(START,)] == IDF[(NULL,)] == pytest.approx(np.log(3))  # in no caption


def test_the_first_has_the_highest_mean_official_score(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[Words]] = []

    def watch(*arguments: Any, **options: Any) -> list[list[Words]]:
        drawn.extend(found := sample(*arguments, **options))
        return found

    monkeypatch.setattr(consensus, "sample", watch)
    settings = consensus_of(
        candidates=12, temperature=1.0, pseudo_references=9, pseudo_reference_temperature=2.0
    )
    found = search(decoder, 4, range(4), settings)
    pseudo_references = [words for (words,) in drawn[4 * 12 :]]
    assert len(pseudo_references) == 4 * 9
    orders = 0
    for image, own in enumerate(found):
        assert len(own) == 12
        texts = [" ".join(map(str, words.tokens)) for words in own]
        said = [" ".join(map(str, words.tokens)) for words in pseudo_references[9 * image : 9 * image + 9]]
        scorer = CiderScorer()
        for text in texts:
            scorer += (text, said)
        # the scorer takes the number of images from that of the captions scored
        scorer.document_frequency = {
            tuple(map(str, ngram)): len(own) / np.exp(IDF[ngram])
            for text in [*texts, *said]
            for words in [[int(word) for word in text.split()]]
            for ngram in {
                tuple(words[first : first + size])
                for size in range(1, 5)
                for first in range(len(words) - size + 1)
            }
        }
        scores = scorer.compute_cider()
        assert np.all(np.diff(scores) < 1e-6)
        orders += len(dict.fromkeys(texts)) > 2
    assert orders  # there was something to rank


def test_draws_are_those_of_the_image_in_any_batch(decoder: Decoder) -> None:
    settings = consensus_of(candidates=5, seed=3)
    together = search(decoder, 3, range(7, 10), settings)
    features = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        alone = settings(decoder, features[1:2], usual_constraints(6), [8])
    assert [words.tokens for words in alone[0]] == [words.tokens for words in together[1]]
    other = search(decoder, 3, range(7, 10), consensus_of(candidates=5, seed=4))
    assert [w.tokens for w in other[0]] != [w.tokens for w in together[0]]


def test_decoding_in_parts_changes_no_caption(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = consensus_of(candidates=5, pseudo_references=8)
    together = search(decoder, 3, range(3), settings)
    monkeypatch.setattr(consensus, "ROWS_AT_ONCE", 7)
    in_parts = search(decoder, 3, range(3), settings)
    assert [[w.tokens for w in own] for own in in_parts] == [[w.tokens for w in own] for own in together]


def test_members_of_an_ensemble_draw_separately_and_are_compared_together(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copy.deepcopy(decoder)
    for value in other.parameters():
        value.data *= -1
    asked: list[tuple[Decoder, int, float]] = []
    drawn: list[int] = []

    def watch(
        who: Decoder, features: torch.Tensor, constraints: Constraints, ids: list[int], **options: Any
    ) -> list[list[Words]]:
        assert features.shape[1] == 3
        asked.append((who, len(features), options["temperature"]))
        drawn.extend(ids)
        return sample(who, features, constraints, ids, **options)

    monkeypatch.setattr(consensus, "sample", watch)
    settings = consensus_of(
        candidates=5, temperature=0.5, pseudo_references=7, pseudo_reference_temperature=1.5
    )
    ensemble = Ensemble([decoder, other], [3, 3]).eval()
    with torch.inference_mode():
        found = settings(ensemble, torch.randn(2, 6), usual_constraints(6), range(3, 5))
    assert asked == [(decoder, 10, 0.5), (other, 10, 0.5), (decoder, 14, 1.5), (other, 14, 1.5)]
    assert [len(own) for own in found] == [10, 10]
    assert len(set(drawn)) == 2 * 2 * 12
    (alone,) = search(Ensemble([other]).eval(), 1, range(3, 4), settings)
    assert alone == search(other, 1, range(3, 4), settings)[0]


def test_the_settings_name_it_with_and_without_weights() -> None:
    config = dataclasses.replace(
        GREEDY,
        search="consensus",
        candidates=7,
        temperature=0.5,
        pseudo_references=9,
        pseudo_reference_temperature=0.8,
        seed=2,
    )
    weighted = make_search(config, TRAINING)
    assert isinstance(weighted, Consensus)
    assert weighted == Consensus(weighted.idf, 7, 0.5, 9, 0.8, 2, None)
    assert weighted.idf[(4,)] == IDF[(4,)]
    unweighted = make_search(config)
    assert isinstance(unweighted, Consensus)
    assert unweighted.idf[(4,)] == unweighted.idf[(5, END)] == 1


def test_neighbours_need_training_images(decoder: Decoder) -> None:
    config = dataclasses.replace(GREEDY, search="consensus", neighbours=2)
    asked = make_search(config, TRAINING)
    assert isinstance(asked, Consensus)
    assert asked.neighbours
    with pytest.raises(InputError, match=r"neighbours: expected 0, .* received 2"):
        make_search(config)


def test_neighbours_are_the_captioned_images_of_the_largest_cosines() -> None:
    first, second, third = [[4, 5, 2], [4, 2]], [[6, 5, 7, 2]], [[8, 5, 2]]
    asked = torch.tensor([[9.0, 2.0, 1.0], [-0.3, 0.1, 0.2], [-9.0, -8.0, -1.0]])

    def said(count: int) -> list[list[Tokens]]:
        return [captions for captions, _ in Neighbours(SAID, FEATURES, count)(asked)]

    assert said(1) == [first, third, third]  # the nearest to the last has no caption
    assert said(2) == [[*first, *second], [*third, *second], [*third, *second]]
    assert sorted(said(50)[0]) == sorted([*first, *second, *third])


@pytest.mark.parametrize("count", [3, 7, 20])
def test_neighbours_weights_are_those_of_kernel_ridge_regression(count: int) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(20, 5)).astype(np.float32)
    asked = random.normal(size=(4, 5)).astype(np.float32)
    captions = {row: [[row]] * (1 + row % 3) for row in range(20)}
    directions, towards = normalize(features), normalize(asked)
    targets = random.normal(size=20)
    found = Neighbours(captions, features, count)(torch.from_numpy(asked))
    for direction, (said, weights) in zip(towards, found, strict=True):
        nearest = np.argsort(-directions @ direction)[:count]
        oracle = KernelRidge(alpha=0.5, kernel="rbf", gamma=0.5 / 0.3)
        oracle.fit(directions[nearest], targets[nearest])
        predicted = sum(weight * targets[row] for (row,), weight in zip(said, weights, strict=True))
        assert predicted == pytest.approx(oracle.predict(direction[None])[0], abs=1e-5)
        assert {row for (row,) in said} == set(nearest.tolist())


def test_captions_of_neighbours_are_references_beside_the_draws(decoder: Decoder) -> None:
    settings = Consensus(IDF, 30, 1.5, 20, 1.5, 0, Neighbours(SAID, FEATURES, 2))
    features = torch.eye(3)
    with torch.inference_mode():
        asked = settings(decoder, features, usual_constraints(6), range(3))
        alone = dataclasses.replace(settings, neighbours=None)(
            decoder, features, usual_constraints(6), range(3)
        )
        drawn = sample(
            decoder,
            features.repeat_interleave(20, dim=0),
            usual_constraints(6),
            [50 * image + 30 + draw for image in range(3) for draw in range(20)],
            seed=0,
            temperature=1.5,
        )
    for image, (said, weights) in enumerate(Neighbours(SAID, FEATURES, 2)(features)):
        pseudo_references = [words.tokens for (words,) in drawn[20 * image : 20 * image + 20]]
        values = [
            CiderD(pseudo_references, IDF)(words.tokens)
            + NEIGHBOURS_WEIGHT
            * sum(
                weight * CiderD([caption], IDF)(words.tokens)
                for caption, weight in zip(said, weights, strict=True)
            )
            for words in asked[image]
        ]
        assert np.all(np.diff(values) < 1e-9)
        assert len(set(values)) > 3
    assert [words[0].tokens for words in asked] != [words[0].tokens for words in alone]

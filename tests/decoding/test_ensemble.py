"""An ensemble speaks with the mean of its members' probabilities, through every search."""

import pytest
import torch

from recap.decoders.build import NAMES
from recap.decoders.ensemble import Ensemble
from recap.decoding.beam import beam
from recap.decoding.caption import usual_constraints
from recap.decoding.greedy import greedy
from recap.decoding.sampling import sample
from recap.errors import InputError
from recap.text.vocabulary import END, START


@pytest.mark.parametrize("name", NAMES)
def test_an_ensemble_of_one_decoder_twice_is_that_decoder(build, draw_features, name):
    decoder, features = build(name), draw_features(6)
    with torch.no_grad():
        for own, doubled in zip(
            beam(decoder, features, usual_constraints(9), width=3),
            beam(Ensemble([decoder, decoder]), features, usual_constraints(9), width=3),
            strict=True,
        ):
            assert doubled[0].tokens == own[0].tokens
            assert doubled[0].log_probabilities == pytest.approx(own[0].log_probabilities, abs=1e-12)


def test_probabilities_are_averaged(build, draw_features):
    members, features = [build(name, seed) for seed, name in enumerate(NAMES)], draw_features(5)
    with torch.no_grad():
        found = greedy(Ensemble(members), features, usual_constraints(9))
        for feature, (words,) in zip(features, found, strict=True):
            prefix = [START]
            for token, log in zip(words.tokens, words.log_probabilities, strict=True):
                inputs = torch.tensor([prefix])
                mean = sum(m(feature[None], inputs)[0, -1].softmax(0) for m in members) / len(members)
                mean[list(usual_constraints(9).banned)] = 0
                assert int(mean.argmax()) == token
                assert log == pytest.approx(float(mean[token].log()), abs=1e-10)
                prefix.append(token)
            assert prefix[-1] == END or len(prefix) == 10
        again = greedy(Ensemble(members[::-1]), features, usual_constraints(9))
        assert [own[0].tokens for own in again] == [own[0].tokens for own in found]
        drawn = sample(Ensemble(members), features, usual_constraints(9), range(5), seed=1, top_k=1)
        assert [own[0].tokens for own in drawn] == [own[0].tokens for own in found]


def test_members_must_share_their_vocabulary(build):
    with pytest.raises(InputError, match=r"one vocabulary, received sizes \[9, 8\]"):
        Ensemble([build("rnn"), build("lstm", words=8)])
    with pytest.raises(InputError, match="received sizes"):
        Ensemble([])


def test_members_read_columns_of_their_own(build, draw_features):
    members = [build("rnn", 1), build("lstm", 2)]
    parts = [draw_features(5), draw_features(5).flip(0)]
    width = parts[0].shape[1]
    ensemble = Ensemble(members, [width, width])
    together = torch.cat(parts, dim=1)
    for (found, own), member, features in zip(
        ensemble.members_with_features(together), members, parts, strict=True
    ):
        assert found is member
        assert torch.equal(own, features)
    with torch.no_grad():
        scores, _ = ensemble.step(torch.full((5,), START), ensemble.start(together))
        first = torch.full((5, 1), START)
        alone = [member(own, first)[:, 0].softmax(1) for member, own in zip(members, parts, strict=True)]
    torch.testing.assert_close(scores.exp(), sum(alone) / 2)
    with pytest.raises(InputError, match=f"expected features of {2 * width} columns.*received {width}"):
        ensemble.start(parts[0])
    with pytest.raises(InputError, match="columns of 2 members, received 1 numbers"):
        Ensemble(members, [width])

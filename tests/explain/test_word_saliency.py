"""Words back to pixels: gradients against finite differences, and the sum of integrated gradients."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from recap.backbones.backbone import Backbone
from recap.captioner import Captioner
from recap.core.artifacts import write_safetensors
from recap.decoders.build import build_decoder
from recap.errors import InputError
from recap.explain.word_saliency import word_gradients, word_integrated_gradients
from recap.features.projection import Projection, load_projection
from recap.text.vocabulary import SPECIAL_WORDS, START, Vocabulary

TOKENS = torch.tensor([4, 7, 5, 2])
RECURRENT = {"feature_dim": 4, "vocabulary_size": 9, "wordvec_dim": 6, "hidden_dim": 8, "dropout": 0.5}
TRANSFORMER = {
    "feature_dim": 4,
    "vocabulary_size": 9,
    "wordvec_dim": 8,
    "heads": 2,
    "layers": 1,
    "feedforward_dim": 16,
    "memory_tokens": 2,
    "dropout": 0.5,
}
MODELS = [{"name": "rnn", **RECURRENT}, {"name": "lstm", **RECURRENT}, {"name": "transformer", **TRANSFORMER}]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


@pytest.fixture(params=MODELS, ids=lambda model: str(model["name"]))
def captioner(request: pytest.FixtureRequest, tiny_backbone: Backbone) -> Captioner:
    decoder = build_decoder(request.param, torch.Generator().manual_seed(3)).eval()
    vocabulary = Vocabulary((*SPECIAL_WORDS, *"abcde"))
    return Captioner(
        decoder, vocabulary, backbone=tiny_backbone, projection=Projection(noise(4, 6), noise(6))
    )


def test_it_is_what_the_decoder_says_of_reduced_features(captioner: Captioner) -> None:
    x = noise(2, 3, 12, 12)
    reduced = (captioner.backbone.features(x) - noise(6)) @ noise(4, 6).T
    inputs = torch.tensor([[START, 4, 7, 5]] * 2)
    scores = captioner.decoder(reduced, inputs).log_softmax(dim=2)
    expected = torch.stack([scores[:, step, token] for step, token in enumerate(TOKENS)], dim=1)
    assert torch.allclose(captioner.log_probabilities(x, TOKENS), expected, atol=1e-6)


def test_word_gradients_equal_finite_differences(captioner: Captioner) -> None:
    x = noise(3, 12, 12)
    maps = word_gradients(captioner, x, TOKENS, [range(0, 1), range(2, 3)])
    assert maps.shape == (2, 12, 12)
    step = 1e-2
    for row, column in [(2, 3), (7, 7)]:
        slopes = []
        for channel in range(3):
            there, back = x.clone(), x.clone()
            there[channel, row, column] += step
            back[channel, row, column] -= step
            change = captioner.log_probabilities(torch.stack([there, back]), TOKENS)
            slopes.append((change[0] - change[1])[[0, 2]].abs() / (2 * step))
        expected = torch.stack(slopes).amax(dim=0)
        assert torch.allclose(maps[:, row, column], expected, atol=2e-4, rtol=2e-2)


def test_integrated_gradients_add_up_to_the_change_of_log_probability(captioner: Captioner) -> None:
    x = noise(3, 12, 12)
    words = [range(place, place + 1) for place in range(4)]
    maps = word_integrated_gradients(captioner, x, TOKENS, words, points=64)
    flat = x.mean(dim=(1, 2), keepdim=True).expand_as(x)
    found = captioner.log_probabilities(torch.stack([x, flat]), TOKENS)
    assert torch.allclose(maps.sum(dim=(1, 2)), found[0] - found[1], atol=1e-3)
    spelt = word_integrated_gradients(captioner, x, TOKENS, [range(1, 3)], points=64)
    assert torch.allclose(spelt[0], maps[1] + maps[2], atol=1e-6)  # a word of two characters


def test_no_pca_passes_features_and_a_spoilt_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pca.safetensors"
    features = noise(2, 6)
    assert torch.equal(load_projection(path)(features), features)
    write_safetensors(path, {"components": noise(4, 6).double(), "mean": noise(6).double()})
    assert load_projection(path)(features).shape == (2, 4)
    write_safetensors(path, {"components": noise(4, 6)})
    with pytest.raises(InputError, match="expected components and mean of a PCA"):
        load_projection(path)

"""The captioning RNN and LSTM: the course's losses, right gradients, the same model in NumPy and torch."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.errors import InputError
from recap.reference.coco_utils import decode_captions
from recap.reference.rnn import CaptioningRNN
from recap.reference.torch_rnn import CaptioningRNN as TorchCaptioningRNN

TINY = {"<NULL>": 0, "cat": 2, "dog": 3}
WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3, "dog": 4, "sat": 5}


def ramp(low: float, high: float, *shape: int) -> np.ndarray:
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape)


def pair(words: dict[str, int], cell: str, D: int, W: int, H: int, seed: int = 0) -> tuple[Any, Any]:
    """The same random model in NumPy and in torch, float64."""
    generator = np.random.default_rng(seed)
    in_numpy = CaptioningRNN(words, D, W, H, cell, np.float64)
    in_torch = TorchCaptioningRNN(words, D, W, H, cell, torch.float64)
    for name, value in in_numpy.params.items():
        in_numpy.params[name] = generator.standard_normal(value.shape)
        in_torch.params[name] = torch.tensor(in_numpy.params[name], requires_grad=True)
    return in_numpy, in_torch


@pytest.mark.parametrize(
    ("cell", "low", "high", "expected"),
    [("rnn", -1.5, 0.3, 9.83235591003), ("lstm", -0.5, 1.7, 9.82445935443)],
)
def test_course_prints_these_losses(cell: str, low: float, high: float, expected: float) -> None:
    N, D, W, H, T = 10, 20, 30, 40, 13
    in_numpy = CaptioningRNN(TINY, input_dim=D, wordvec_dim=W, hidden_dim=H, cell_type=cell, dtype=np.float64)
    in_torch = TorchCaptioningRNN(
        TINY, input_dim=D, wordvec_dim=W, hidden_dim=H, cell_type=cell, dtype=torch.float64
    )
    for name, value in in_numpy.params.items():
        in_numpy.params[name] = ramp(-1.4, 1.3, *value.shape)
        in_torch.params[name] = torch.from_numpy(ramp(-1.4, 1.3, *value.shape))
    features = ramp(low, high, N, D)
    captions = (np.arange(N * T) % 3).reshape(N, T)

    assert in_numpy.loss(features, captions)[0] == pytest.approx(expected, abs=1e-10)
    loss = in_torch.loss(torch.from_numpy(features), torch.from_numpy(captions))
    assert loss.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@settings(max_examples=25, deadline=None)
@given(N=st.integers(1, 4), L=st.integers(2, 5), seed=st.integers(0, 2**32 - 1), empty=st.booleans())
def test_gradients_are_autograds(cell: str, N: int, L: int, seed: int, empty: bool) -> None:
    in_numpy, in_torch = pair(TINY, cell, 3, 4, 5, seed)
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((N, 3))
    captions = generator.integers(3, size=(N, L))
    if empty:
        captions[0] = 0
    loss, grads = in_numpy.loss(features, captions)
    expected = in_torch.loss(features, captions)
    expected.backward()

    assert loss == pytest.approx(expected.item(), abs=1e-12)
    assert list(grads.keys() ^ in_numpy.params.keys()) == []
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, in_torch.params[name].grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_samples_are_the_likeliest_words_given_those_before(cell: str) -> None:
    in_numpy, in_torch = pair(WORDS, cell, 3, 4, 5)
    features = np.random.default_rng(0).standard_normal((7, 3))
    captions = in_numpy.sample(features, max_length=6)

    assert captions.shape == (7, 6)
    np.testing.assert_array_equal(captions, in_torch.sample(features, max_length=6))
    read = np.concatenate((np.full((7, 1), WORDS["<START>"]), captions), axis=1)  # (7, 7)
    # a caption's loss is least, at each place, for the word that was sampled
    for t in range(1, 7):
        for row in range(7):
            prefix = read[row : row + 1, : t + 1].copy()
            losses = []
            for word in (1, 2, 3, 4, 5):  # the loss leaves <NULL> out
                prefix[0, t] = word
                losses.append(in_numpy.loss(features[row : row + 1], prefix)[0])
            if captions[row, t - 1] != 0:
                assert (1, 2, 3, 4, 5)[int(np.argmin(losses))] == captions[row, t - 1]
    assert len(decode_captions(captions, list(WORDS))) == 7


def test_seeded_weights_have_the_course_scales() -> None:
    np.random.seed(231)  # noqa: NPY002
    model = CaptioningRNN(WORDS, 400, 300, 200, "lstm")
    np.random.seed(231)  # noqa: NPY002
    first = np.random.randn(6, 300) / 100  # noqa: NPY002

    np.testing.assert_array_equal(model.params["W_embed"], first.astype(np.float32))
    for name, inputs in (("W_proj", 400), ("Wx", 300), ("Wh", 200), ("W_vocab", 200)):
        assert model.params[name].std() == pytest.approx(inputs**-0.5, rel=0.05)
    assert not any(model.params[name].any() for name in ("b", "b_proj", "b_vocab"))
    assert {value.dtype for value in model.params.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("model", [CaptioningRNN, TorchCaptioningRNN])
def test_bad_models_are_refused_in_one_line(model: Any) -> None:
    with pytest.raises(InputError, match=r"^cell_type: expected one of rnn, lstm, received 'gru'$"):
        model(TINY, cell_type="gru")
    with pytest.raises(InputError, match="expected <NULL>"):
        model({"cat": 0})
    with pytest.raises(InputError, match="expected <START>"):
        model(TINY, 3, 4, 5).sample(np.zeros((1, 3), dtype=np.float32))

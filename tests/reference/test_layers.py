"""The layers give the course's printed results, their backward passes numerical and autograd's gradients."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recap.reference import layers, torch_layers
from recap.reference.gradient_check import eval_numerical_gradient_array, rel_error

Shape = tuple[int, ...]


def ramp(low: float, high: float, *shape: int) -> np.ndarray:
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape)


def as_tensors(arrays: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.tensor(array, requires_grad=array.dtype == np.float64) for array in arrays]


RNN_STEP = (
    [
        ramp(-0.4, 0.7, 3, 10),
        ramp(-0.2, 0.5, 3, 4),
        ramp(-0.1, 0.9, 10, 4),
        ramp(-0.3, 0.7, 4, 4),
        ramp(-0.2, 0.4, 4),
    ],
    [
        [-0.58172089, -0.50182032, -0.41232771, -0.31410098],
        [0.66854692, 0.79562378, 0.87755553, 0.92795967],
        [0.97934501, 0.99144213, 0.99646691, 0.99854353],
    ],
)
RNN = (
    [
        ramp(-0.1, 0.3, 2, 3, 4),
        ramp(-0.3, 0.1, 2, 5),
        ramp(-0.2, 0.4, 4, 5),
        ramp(-0.4, 0.1, 5, 5),
        ramp(-0.7, 0.1, 5),
    ],
    [
        [
            [-0.42070749, -0.27279261, -0.11074945, 0.05740409, 0.22236251],
            [-0.39525808, -0.22554661, -0.0409454, 0.14649412, 0.32397316],
            [-0.42305111, -0.24223728, -0.04287027, 0.15997045, 0.35014525],
        ],
        [
            [-0.55857474, -0.39065825, -0.19198182, 0.02378408, 0.23735671],
            [-0.27150199, -0.07088804, 0.13562939, 0.33099728, 0.50158768],
            [-0.51014825, -0.30524429, -0.06755202, 0.17806392, 0.40333043],
        ],
    ],
)
LSTM = (
    [
        ramp(-0.4, 0.6, 2, 3, 5),
        ramp(-0.4, 0.8, 2, 4),
        ramp(-0.2, 0.9, 5, 16),
        ramp(-0.3, 0.6, 4, 16),
        ramp(0.2, 0.7, 16),
    ],
    [
        [
            [0.01764008, 0.01823233, 0.01882671, 0.0194232],
            [0.11287491, 0.12146228, 0.13018446, 0.13902939],
            [0.31358768, 0.33338627, 0.35304453, 0.37250975],
        ],
        [
            [0.45767879, 0.4761092, 0.4936887, 0.51041945],
            [0.6704845, 0.69350089, 0.71486014, 0.7346449],
            [0.81733511, 0.83677871, 0.85403753, 0.86935314],
        ],
    ],
)
LSTM_STEP = (
    [
        ramp(-0.4, 1.2, 3, 4),
        ramp(-0.3, 0.7, 3, 5),
        ramp(-0.4, 0.9, 3, 5),
        ramp(-2.1, 1.3, 4, 20),
        ramp(-0.7, 2.2, 5, 20),
        ramp(0.3, 0.7, 20),
    ],
    [
        [0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904],
        [0.49223563, 0.55611431, 0.61507696, 0.66844003, 0.7159181],
        [0.56735664, 0.66310127, 0.74419266, 0.80889665, 0.858299],
    ],
    [
        [0.32986176, 0.39145139, 0.451556, 0.51014116, 0.56717407],
        [0.66382255, 0.76674007, 0.87195994, 0.97902709, 1.08751345],
        [0.74192008, 0.90592151, 1.07717006, 1.25120233, 1.42395676],
    ],
)
EMBEDDING = (
    [np.asarray([[0, 3, 1, 2], [2, 1, 0, 3]]), ramp(0, 1, 5, 3)],
    [
        [
            [0.0, 0.07142857, 0.14285714],
            [0.64285714, 0.71428571, 0.78571429],
            [0.21428571, 0.28571429, 0.35714286],
            [0.42857143, 0.5, 0.57142857],
        ],
        [
            [0.42857143, 0.5, 0.57142857],
            [0.21428571, 0.28571429, 0.35714286],
            [0.0, 0.07142857, 0.14285714],
            [0.64285714, 0.71428571, 0.78571429],
        ],
    ],
)


@pytest.mark.parametrize(
    ("name", "inputs", "printed"),
    [
        ("rnn_step_forward", *RNN_STEP),
        ("rnn_forward", *RNN),
        ("lstm_forward", *LSTM),
        ("word_embedding_forward", *EMBEDDING),
    ],
)
def test_course_prints_these_outputs(name: str, inputs: list[np.ndarray], printed: list) -> None:
    in_numpy = getattr(layers, name)(*inputs)[0]
    in_torch = getattr(torch_layers, name)(*as_tensors(inputs)).detach().numpy()

    np.testing.assert_allclose(in_numpy, printed, rtol=0, atol=5.01e-9)  # the prints have 8 decimals
    np.testing.assert_allclose(in_torch, printed, rtol=0, atol=5.01e-9)


def test_course_prints_this_lstm_step() -> None:
    inputs, printed_h, printed_c = LSTM_STEP
    in_numpy = layers.lstm_step_forward(*inputs)
    in_torch = torch_layers.lstm_step_forward(*as_tensors(inputs))

    for h, c in (in_numpy[:2], [output.detach().numpy() for output in in_torch]):
        np.testing.assert_allclose(h, printed_h, rtol=0, atol=5.01e-9)
        np.testing.assert_allclose(c, printed_c, rtol=0, atol=5.01e-9)


@pytest.mark.parametrize(
    ("batch", "time", "words", "share", "low", "high"),
    [(100, 1, 10, 1.0, 2.3, 2.305), (100, 10, 10, 1.0, 23.0, 23.05), (5000, 10, 10, 0.1, 2.2, 2.4)],
)
def test_softmax_loss_of_small_scores_is_log_vocabulary_for_each_unmasked_step(
    batch: int, time: int, words: int, share: float, low: float, high: float
) -> None:
    generator = np.random.default_rng(0)
    x = 0.001 * generator.standard_normal((batch, time, words))
    y = generator.integers(words, size=(batch, time))
    mask = generator.random((batch, time)) <= share

    loss, _ = layers.temporal_softmax_loss(x, y, mask)

    assert low < loss < high
    assert torch_layers.temporal_softmax_loss(*map(torch.tensor, (x, y, mask))).item() == pytest.approx(loss)


def test_softmax_loss_survives_scores_that_overflow_exp(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.array([[[1000.0, 0.0, -1000.0]]])
    loss, dx = layers.temporal_softmax_loss(x, np.array([[1]]), np.array([[True]]), verbose=True)

    assert loss == 1000.0
    np.testing.assert_array_equal(dx, [[[1.0, -1.0, 0.0]]])
    assert "(1, 1, 3)" in capsys.readouterr().out


def test_lstm_gates_survive_activations_that_overflow_exp() -> None:
    inputs = [np.array([[value]]) for value in (1000.0, 0.0, 0.5)]
    weights = [np.array([[-1.0, 1.0, 1.0, 1.0]]), np.zeros((1, 4)), np.zeros(4)]
    h, c, _ = layers.lstm_step_forward(*inputs, *weights)

    assert c.item() == 0.5  # input gate shut, forget gate open
    assert h.item() == pytest.approx(np.tanh(0.5))


def numerical_errors(
    forward: Callable, backward: Callable, inputs: list[np.ndarray], skip: int = 0
) -> list[float]:
    """Relative error of each gradient of ``backward``; ``skip`` inputs have none."""
    generator = np.random.default_rng(1)
    out, cache = forward(*inputs)
    dout = generator.standard_normal(out.shape)
    gradients = backward(dout, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert len(gradients) == len(inputs) - skip
    return [
        rel_error(eval_numerical_gradient_array(lambda _: forward(*inputs)[0], x, dout), gradient)
        for x, gradient in zip(inputs[skip:], gradients, strict=True)
    ]


def draw(*shapes: Shape) -> list[np.ndarray]:
    generator = np.random.default_rng(231)
    return [generator.standard_normal(shape) for shape in shapes]


def test_backward_steps_are_numerical_gradients() -> None:
    errors = numerical_errors(
        layers.rnn_step_forward, layers.rnn_step_backward, draw((4, 5), (4, 6), (5, 6), (6, 6), (6,))
    )
    assert max(errors) < 1e-7

    inputs = draw((4, 5), (4, 6), (4, 6), (5, 24), (6, 24), (24,))
    dh, dc = draw((4, 6), (4, 6))
    gradients = layers.lstm_step_backward(dh, dc, layers.lstm_step_forward(*inputs)[2])
    for x, gradient in zip(inputs, gradients, strict=True):
        expected = sum(
            eval_numerical_gradient_array(lambda _, part=part: layers.lstm_step_forward(*inputs)[part], x, df)
            for part, df in ((0, dh), (1, dc))
        )
        assert rel_error(expected, gradient) < 1e-6


def test_backward_sequences_are_numerical_gradients() -> None:
    shapes = [(2, 3, 4), (2, 5)]
    rnn = numerical_errors(layers.rnn_forward, layers.rnn_backward, draw(*shapes, (4, 5), (5, 5), (5,)))
    lstm = numerical_errors(layers.lstm_forward, layers.lstm_backward, draw(*shapes, (4, 20), (5, 20), (20,)))
    affine = numerical_errors(
        layers.temporal_affine_forward, layers.temporal_affine_backward, draw((2, 3, 4), (4, 5), (5,))
    )
    words = np.array([[0, 3, 0, 2], [2, 1, 0, 3]])  # some twice
    embedding = numerical_errors(
        layers.word_embedding_forward, layers.word_embedding_backward, [words, *draw((5, 6))], skip=1
    )
    assert max(rnn + lstm) < 1e-6
    assert max(affine + embedding) < 1e-8


def test_softmax_loss_gradient_is_numerical() -> None:
    (x,) = draw((7, 8, 9))
    generator = np.random.default_rng(0)
    y, mask = generator.integers(9, size=(7, 8)), generator.random((7, 8)) > 0.5
    _, dx = layers.temporal_softmax_loss(x, y, mask)
    expected = eval_numerical_gradient_array(
        lambda _: np.array(layers.temporal_softmax_loss(x, y, mask)[0]), x, np.array(1.0)
    )
    assert rel_error(dx, expected) < 1e-7


sizes = st.integers(1, 4)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes, st.sampled_from(["rnn", "lstm"]), st.integers(0, 2**32 - 1))
def test_recurrent_backward_is_autograd(N: int, T: int, D: int, H: int, cell: str, seed: int) -> None:
    width = H * (4 if cell == "lstm" else 1)
    generator = np.random.default_rng(seed)
    inputs = [generator.standard_normal(s) for s in [(N, T, D), (N, H), (D, width), (H, width), (width,)]]
    dh = generator.standard_normal((N, T, H))
    tensors = as_tensors(inputs)
    out = getattr(torch_layers, f"{cell}_forward")(*tensors)
    expected = torch.autograd.grad(out, tensors, torch.tensor(dh))

    h, cache = getattr(layers, f"{cell}_forward")(*inputs)
    gradients = getattr(layers, f"{cell}_backward")(dh, cache)

    np.testing.assert_allclose(h, out.detach(), rtol=0, atol=1e-12)
    for gradient, from_autograd in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, from_autograd, rtol=0, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes, st.data())
def test_embedding_affine_and_loss_are_autograd(N: int, T: int, D: int, V: int, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = generator.integers(V, size=(N, T))
    y = generator.integers(V, size=(N, T))
    mask = generator.random((N, T)) < 0.6
    mask[data.draw(st.integers(0, N - 1))] = False  # a caption of no words
    W, w, b = (generator.standard_normal(shape) for shape in [(V, D), (D, V), (V,)])
    tensors = as_tensors([W, w, b])
    words = torch_layers.word_embedding_forward(torch.tensor(x), tensors[0])
    scores = torch_layers.temporal_affine_forward(words, tensors[1], tensors[2])
    loss = torch_layers.temporal_softmax_loss(scores, torch.tensor(y), torch.tensor(mask))
    expected = torch.autograd.grad(loss, tensors)

    out, words_cache = layers.word_embedding_forward(x, W)
    out, scores_cache = layers.temporal_affine_forward(out, w, b)
    value, dout = layers.temporal_softmax_loss(out, y, mask)
    dout, dw, db = layers.temporal_affine_backward(dout, scores_cache)
    dW = layers.word_embedding_backward(dout, words_cache)

    assert value == pytest.approx(loss.item(), abs=1e-12)
    for gradient, from_autograd in zip((dW, dw, db), expected, strict=True):
        np.testing.assert_allclose(gradient, from_autograd, rtol=0, atol=1e-10)


def test_masked_steps_count_nothing() -> None:
    (x,) = draw((2, 3, 4))
    y = np.zeros((2, 3), dtype=int)
    loss, dx = layers.temporal_softmax_loss(x, y, np.zeros((2, 3), dtype=bool))

    assert loss == 0
    assert not dx.any()


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_float32_stays_float32(cell: str) -> None:
    width = 12 if cell == "lstm" else 3
    inputs = [x.astype(np.float32) for x in draw((1, 2, 4), (1, 3), (4, width), (3, width), (width,))]
    h, cache = getattr(layers, f"{cell}_forward")(*inputs)
    gradients = getattr(layers, f"{cell}_backward")(h, cache)
    _, dx = layers.temporal_softmax_loss(h, np.zeros((1, 2), dtype=int), np.ones((1, 2), dtype=bool))

    assert {array.dtype for array in (h, dx, *gradients)} == {np.dtype(np.float32)}

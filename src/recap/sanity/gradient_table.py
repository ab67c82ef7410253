"""Gradient checks: every hand-derived gradient beside the numerical one, with the allowed error.

Shapes: N batch, T time, D input, H hidden, W word vector, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap.reference import layers
from recap.reference.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, rel_error
from recap.reference.rnn import CaptioningRNN

Array = NDArray[Any]

STEP, SEQUENCE, MODEL = 1e-8, 1e-6, 1e-5
"""The largest relative errors that the course expects of a step, of a sequence, of a whole model."""

SCALE, SEED = 0.5, 2  # of random inputs, such that no gradient is lost in rounding


def gradient_table() -> list[dict[str, Any]]:
    """Check every backward function, and the models' gradients, in float64: a row a gradient."""
    N, T, D, H, V = 2, 5, 3, 5, 7
    rows: list[dict[str, Any]] = []
    for cell, gates in (("rnn", 1), ("lstm", 4)):
        weights = [(D, gates * H), (H, gates * H), (gates * H,)]
        states = [(N, H)] * (2 if cell == "lstm" else 1)
        names = ["dx", "dprev_h", "dprev_c", "dWx", "dWh", "db"]
        if cell == "rnn":
            names.remove("dprev_c")
        errors = _layer_errors(f"{cell}_step", _draw((N, D), *states, *weights))
        rows += _rows(f"{cell}_step", names, errors, STEP)
        errors = _layer_errors(cell, _draw((N, T, D), (N, H), *weights))
        rows += _rows(cell, ["dx", "dh0", "dWx", "dWh", "db"], errors, SEQUENCE)
    errors = _layer_errors("temporal_affine", _draw((N, T, D), (D, V), (V,)))
    rows += _rows("temporal_affine", ["dx", "dw", "db"], errors, SEQUENCE)
    words = np.arange(N * T).reshape(N, T) % (V - 1)
    rows += _rows("word_embedding", ["dW"], _embedding_errors(words, *_draw((V, D))), SEQUENCE)
    rows += _rows("temporal_softmax_loss", ["dx"], _loss_errors(words, *_draw((N, T, V))), SEQUENCE)
    for cell in ("rnn", "lstm"):
        of_model = dict(_model_errors(cell, words))
        rows += _rows(f"CaptioningRNN({cell})", list(of_model), of_model.values(), MODEL)
    return rows


def _rows(
    function: str, gradients: Sequence[str], errors: Iterable[float], threshold: float
) -> Iterator[dict[str, Any]]:
    for gradient, error in zip(gradients, errors, strict=True):
        yield {
            "function": function,
            "gradient": gradient,
            "error": error,
            "threshold": threshold,
            "passed": error < threshold,
        }


def _draw(*shapes: tuple[int, ...]) -> list[Array]:
    generator = np.random.default_rng(SEED)
    return [SCALE * generator.standard_normal(shape) for shape in shapes]


def _errors(
    outputs: Callable[[], Sequence[Array]],
    inputs: Sequence[Array],
    douts: Sequence[Array],
    gradients: Sequence[Array],
) -> Iterator[float]:
    """Yield the error of each gradient of sum(output * dout) over the outputs."""
    for x, gradient in zip(inputs, gradients, strict=True):
        numerical = sum(
            eval_numerical_gradient_array(lambda _, part=part: outputs()[part], x, dout)  # type: ignore[misc]
            for part, dout in enumerate(douts)
        )
        yield rel_error(numerical, gradient)


def _layer_errors(name: str, inputs: Sequence[Array]) -> Iterator[float]:
    forward = getattr(layers, f"{name}_forward")
    *outputs, cache = forward(*inputs)
    douts = _draw(*(output.shape for output in outputs))
    gradients = getattr(layers, f"{name}_backward")(*douts, cache)
    return _errors(lambda: forward(*inputs)[:-1], inputs, douts, gradients)


def _embedding_errors(words: Array, W: Array) -> Iterator[float]:
    output, cache = layers.word_embedding_forward(words, W)
    douts = _draw(output.shape)
    gradient = layers.word_embedding_backward(douts[0], cache)
    return _errors(lambda: layers.word_embedding_forward(words, W)[:1], [W], douts, [gradient])


def _loss_errors(words: Array, x: Array) -> Iterator[float]:
    mask = words != 0
    _, dx = layers.temporal_softmax_loss(x, words, mask)
    numerical = eval_numerical_gradient(
        lambda _: layers.temporal_softmax_loss(x, words, mask)[0], x, verbose=False
    )
    yield rel_error(numerical, dx)


def _model_errors(cell: str, captions: Array) -> Iterator[tuple[str, float]]:
    V, D, W, H = 7, 4, 5, 6
    model = CaptioningRNN(
        {"<NULL>": 0} | {str(word): word for word in range(1, V)}, D, W, H, cell, np.float64
    )
    shapes = [model.params[name].shape for name in sorted(model.params)]
    features, *values = _draw((len(captions), D), *shapes)
    model.params = dict(zip(sorted(model.params), values, strict=True))
    _, grads = model.loss(features, captions)
    for name, values_of in model.params.items():
        numerical = eval_numerical_gradient(
            lambda _: model.loss(features, captions)[0], values_of, verbose=False
        )
        yield name, rel_error(numerical, grads[name])

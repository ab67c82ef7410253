"""Numerical gradients of functions whose gradients are known."""

import numpy as np
import pytest

from recap.reference.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, rel_error
from recap.reference.layers import rnn_step_backward
from recap.sanity.gradient_table import MODEL, SEQUENCE, STEP, gradient_table


def test_numerical_gradient_of_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    gradient = eval_numerical_gradient(lambda values: (values**3).sum(), x)

    np.testing.assert_allclose(gradient, 3 * x**2, rtol=1e-8)
    np.testing.assert_array_equal(x, [[1.0, -2.0], [0.5, 3.0]])
    assert "(1, 0)" in capsys.readouterr().out


def test_numerical_gradient_of_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    x, df = np.array([1.0, -2.0, 0.5]), np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 0.0]])
    gradient = eval_numerical_gradient_array(lambda values: np.stack((values**2, values)), x, df)

    np.testing.assert_allclose(gradient, 2 * x * df[0] + df[1], rtol=1e-8)
    eval_numerical_gradient(np.sum, x, verbose=False)
    assert capsys.readouterr().out == ""


def test_numerical_gradient_sees_a_function_that_returns_its_argument() -> None:
    x = np.ones(3)
    np.testing.assert_allclose(eval_numerical_gradient_array(lambda values: values, x, x.copy()), x)


def test_relative_error_is_the_largest_and_has_a_floor() -> None:
    assert rel_error(np.array([1.0, 3.0]), np.array([1.0, 1.0])) == 0.5
    assert rel_error(np.array([1e-10]), np.array([0.0])) == pytest.approx(0.01)


def test_every_gradient_is_within_the_course_order() -> None:
    rows = gradient_table()

    assert [row for row in rows if row["error"] >= row["threshold"]] == []
    assert {row["threshold"] for row in rows} == {STEP, SEQUENCE, MODEL}
    assert len({(row["function"], row["gradient"]) for row in rows}) == len(rows) == 42


def test_a_wrong_backward_function_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_derivative_of_tanh(dnext_h: np.ndarray, cache: tuple) -> tuple:
        *others, next_h = cache
        return rnn_step_backward(dnext_h, (*others, np.zeros_like(next_h)))

    monkeypatch.setattr("recap.reference.layers.rnn_step_backward", without_derivative_of_tanh)
    failed = {row["function"] for row in gradient_table() if not row["passed"]}

    assert failed == {"rnn_step", "rnn", "CaptioningRNN(rnn)"}

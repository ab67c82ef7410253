"""One threshold unit can latch, and cannot toggle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from recap.reference.threshold_rnn import threshold_constraints, threshold_rnn

LATCH = [0, 0, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1, 1]
TOGGLE = [0, 0, 0, 1, 0, 0, 1, 0], [1, 1, 1, 0, 0, 0, 1, 1]


def largest_margin(constraints: dict[tuple[int, int, int], int]) -> tuple[float, np.ndarray]:
    """The largest m <= 1 with row @ weights >= m where 1 is due and <= 0 where 0 is due, and the weights."""
    A, limits = [], []
    for row, state in constraints.items():
        if state:
            A.append([*(-np.array(row)), 1])  # m - row @ weights <= 0
        if state < 1:
            A.append([*row, 0])
    limits = np.zeros(len(A))
    found = linprog([0, 0, 0, -1], A, limits, bounds=[(None, None)] * 3 + [(None, 1)])
    assert found.status == 0
    return found.x[3], found.x[:3]


def test_constraints_of_the_latch_are_those_of_or_and_have_a_solution() -> None:
    constraints = threshold_constraints(*LATCH, s0=0)
    margin, weights = largest_margin(constraints)

    assert constraints == {(0, 0, 1): 0, (1, 0, 1): 1, (0, 1, 1): 1, (1, 1, 1): 1}
    assert margin == pytest.approx(1)
    assert threshold_rnn(LATCH[0], *weights, s0=0) == LATCH[1]
    assert threshold_rnn(LATCH[0], 1, 1, -0.5, s0=0) == LATCH[1]


@pytest.mark.parametrize("s0", [0, 1])
def test_constraints_of_the_toggle_are_those_of_xor_and_have_no_solution(s0: int) -> None:
    constraints = threshold_constraints(*TOGGLE, s0=s0)
    margin, _ = largest_margin(constraints)

    xor = {(0, 0, 1): 0, (1, 0, 1): 1, (0, 1, 1): 1, (1, 1, 1): 0}
    assert constraints == (xor if s0 else xor | {(0, 0, 1): -1})
    assert margin <= 1e-9


def test_the_four_constraints_of_the_toggle_contradict_each_other() -> None:
    """The two rows that must be positive have the same sum as the two that must not be."""
    constraints = threshold_constraints(*TOGGLE, s0=1)
    sums = [np.sum([row for row, state in constraints.items() if state == due], axis=0) for due in (0, 1)]
    np.testing.assert_array_equal(*sums)


@given(*[st.floats(-1e6, 1e6)] * 3, st.integers(0, 1))
def test_no_weights_toggle(w1: float, w2: float, b: float, s0: int) -> None:
    assert threshold_rnn(TOGGLE[0], w1, w2, b, s0) != TOGGLE[1]


@given(*[st.floats(-10, 10)] * 3, st.integers(0, 1), st.lists(st.integers(0, 1), min_size=1))
def test_weights_satisfy_the_constraints_of_what_they_compute(
    w1: float, w2: float, b: float, s0: int, x: list[int]
) -> None:
    constraints = threshold_constraints(x, threshold_rnn(x, w1, w2, b, s0), s0)
    for (value, before, _), state in constraints.items():
        assert state == int(w1 * value + w2 * before + b > 0)

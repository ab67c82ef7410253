"""A recurrent network of one binary unit, small enough to see what it can and cannot compute."""

from collections.abc import Sequence


def threshold_rnn(x: Sequence[int], w1: float, w2: float, b: float, s0: int) -> list[int]:
    """Return the states s_t = [w1 x_t + w2 s_{t-1} + b > 0], 0 or 1, for inputs x_t from the state s0."""
    states, state = [], s0
    for value in x:
        state = int(w1 * value + w2 * state + b > 0)
        states.append(state)
    return states


def threshold_constraints(x: Sequence[int], s: Sequence[int], s0: int) -> dict[tuple[int, int, int], int]:
    """Return the conditions on weights under which inputs x give the states s from s0.

    Returns:
        For each (x_t, s_{t-1}, 1) that occurs the state s_t: its product with (w1, w2, b) is to be positive
        for 1 and not positive for 0. A row that would need both has the value -1.
    """
    constraints: dict[tuple[int, int, int], int] = {}
    for value, before, after in zip(x, [s0, *s[:-1]], s, strict=True):
        row = (value, before, 1)
        constraints[row] = after if constraints.get(row, after) == after else -1
    return constraints

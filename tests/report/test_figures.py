"""Figures: well-formed, within their frame, nothing lost."""

import itertools
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.report.figures import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDE,
    Curve,
    axis,
    histogram,
    line_chart,
    log_axis,
    whole_axis,
)

finite = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


@given(st.lists(finite, min_size=1, max_size=30), st.booleans())
def test_an_axis_covers_its_values_with_few_round_ticks(values, from_zero) -> None:
    result = axis(values, "y", from_zero=from_zero)
    room = 1e-6 * max(1, *map(abs, values))
    assert result.low <= min(values) + room
    assert result.high >= max(values) - room
    assert 2 <= len(result.ticks) <= 8
    assert not from_zero or 0 in result.ticks
    assert np.allclose(np.diff(result.ticks), result.ticks[1] - result.ticks[0], atol=1e-9)


@given(st.integers(-50, 50), st.integers(0, 3000))
def test_a_whole_axis_has_whole_ticks(low, span) -> None:
    result = whole_axis(low, low + span, "x")
    assert result.ticks[0] == low
    assert all(tick == int(tick) for tick in result.ticks)
    assert result.ticks[-1] == max(low + span, low + 1), "the last one too"
    assert len(result.ticks) <= 8


@given(st.lists(st.one_of(finite, st.just(math.nan)), min_size=1, max_size=12))
def test_a_line_stays_in_its_frame_and_skips_what_is_not_a_number(values) -> None:
    x_axis = whole_axis(0, len(values), "Epoch")
    curve = Curve(range(len(values)), values, "decoder-rnn", "loss")
    chart = line_chart([curve], x_axis, axis(values, "Loss", from_zero=False), "a chart", size=WIDE)
    svg = ElementTree.fromstring(chart)
    points = [own for own in svg.iter("circle") if own.get("class", "").startswith("point")]
    assert len(points) == sum(map(math.isfinite, values))
    for point in points:
        assert LEFT - 0.1 <= float(point.attrib["cx"]) <= WIDE.width - RIGHT + 0.1
        assert TOP - 0.1 <= float(point.attrib["cy"]) <= WIDE.height - BOTTOM + 0.1


def test_a_histogram_draws_shares_to_scale() -> None:
    chart = histogram([3, 4], [("a", "x", [0.25, 0.75]), ("b", "y", [0.5, 0.5])], "Words", "how long")
    bars = list(ElementTree.fromstring(chart).iter("rect"))
    heights = [float(own.attrib["height"]) for own in bars]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.2)
    assert heights[2] == heights[3]
    lefts = sorted((float(own.attrib["x"]), float(own.attrib["width"])) for own in bars)
    assert all(left + width <= after for (left, width), (after, _) in itertools.pairwise(lefts))


def test_names_are_escaped() -> None:
    axes = whole_axis(0, 2, 'Epoch <"&'), axis([0, 1], "Loss", from_zero=True)
    chart = line_chart([Curve([0], [1], 'a"b', "<b>")], *axes, 'x" onload="y', marked=[(0, 1)], size=WIDE)
    svg = ElementTree.fromstring(chart)
    assert svg.attrib["aria-label"] == 'x" onload="y'
    assert "onload" not in svg.attrib


def test_a_log_axis_covers_the_values_and_places_powers_evenly() -> None:
    axis = log_axis([70.0, 0.054, 0.0, math.nan], "Loss")
    assert axis.ticks == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert [axis.share(tick) for tick in axis.ticks] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert log_axis([1.0], "Loss").ticks == [1, 10]

"""Figures as inline SVG: data in, markup out, no I/O.

Colours, lines and type come from the page's style sheet (classes), so that a figure follows light and dark
mode; positions are rounded, so that the same data give the same bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

LEFT, RIGHT, TOP, BOTTOM = 42, 12, 26, 40  # margins around the area that holds the data


@dataclass(frozen=True)
class Size:
    """Width and height of a figure in CSS pixels, at which its type has the size of the page's."""

    width: int
    height: int


WIDE, SMALL = Size(480, 270), Size(230, 185)


@dataclass(frozen=True)
class Curve:
    """A line through points.

    Attributes:
        x, y: coordinates in data units.
        css: classes that style it.
        label: names its points; a curve without a label shows none.
        dots: a dot at every point, and no line.
    """

    x: Sequence[float]
    y: Sequence[float]
    css: str
    label: str = ""
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis: its range in data units, its ticks and its name."""

    low: float
    high: float
    ticks: Sequence[float]
    label: str

    def share(self, value: float) -> float:
        """Return how far along the axis a value is: 0 at its low end, 1 at its high end."""
        return (value - self.low) / (self.high - self.low)


class LogAxis(Axis):
    """An axis of powers of ten; its range and ticks are positive."""

    def share(self, value: float) -> float:
        """Return how far along the axis a positive value is."""
        return math.log(value / self.low) / math.log(self.high / self.low)


def axis(values: Sequence[float], label: str, *, from_zero: bool) -> Axis:
    """Return an axis with round ticks that covers the finite ones of ``values``."""
    covered = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(covered), max(covered)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high <= low:
        high = low + 1.0
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(step * tick, 10) for tick in range(first, last + 1)]
    return Axis(ticks[0], ticks[-1], ticks, label)


def whole_axis(low: int, high: int, label: str) -> Axis:
    """Return an axis of whole numbers from ``low`` to ``high`` exactly, both of which have a tick."""
    high = max(high, low + 1)
    step = max(1, math.ceil(_round_step((high - low) / 6)))
    ticks = [tick for tick in range(low, high, step) if high - tick >= 0.6 * step]
    return Axis(low, high, [*ticks, high], label)


def log_axis(values: Sequence[float], label: str) -> LogAxis:
    """Return an axis of whole powers of ten that covers the finite positive ones of ``values``."""
    covered = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    first = math.floor(math.log10(min(covered)))
    last = max(math.ceil(math.log10(max(covered))), first + 1)
    ticks = [10.0**power for power in range(first, last + 1)]
    return LogAxis(ticks[0], ticks[-1], ticks, label)


def line_chart(
    curves: Sequence[Curve],
    x_axis: Axis,
    y_axis: Axis,
    description: str,
    *,
    size: Size,
    marked: Sequence[tuple[float, float]] = (),
) -> Markup:
    """Draw lines over a grid; every point of a labelled curve tells its values when pointed at.

    Args:
        curves: drawn in order, the last on top; points that are not finite are left out.
        x_axis, y_axis: what the area covers.
        description: what the figure shows, for who cannot see it.
        size: of the figure.
        marked: points to ring, in data units.
    """
    shapes: list[Markup] = []
    for curve in curves:
        points = [
            (x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(x) and math.isfinite(y)
        ]
        if not points:
            continue
        places = [(_across(x, x_axis, size), _up(y, y_axis, size)) for x, y in points]
        if curve.dots:  # lines of no length, whose ends are round: one element, however many there are
            path = " ".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)
        else:
            path = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(places))
        shapes.append(_tag("path", d=path, class_=f"{'dots' if curve.dots else 'curve'} {curve.css}"))
        if curve.label:
            for (x, y), (across, up) in zip(points, places, strict=True):
                title = _tag("title", f"{curve.label}: {_short(y)} at {x_axis.label.lower()} {_short(x)}")
                place = {"cx": f"{across:.1f}", "cy": f"{up:.1f}"}
                shapes.append(_tag("circle", title, **place, r="6", class_=f"point {curve.css}"))
    for x, y in marked:
        place = {"cx": f"{_across(x, x_axis, size):.1f}", "cy": f"{_up(y, y_axis, size):.1f}"}
        shapes.append(_tag("circle", **place, r="4.5", class_="mark"))
    return _frame([*_axes(x_axis, y_axis, size), *shapes], description, size)


def histogram(
    bins: Sequence[int],
    series: Sequence[tuple[str, str, Sequence[float]]],
    x_label: str,
    description: str,
) -> Markup:
    """Draw shares by whole number, series side by side.

    Args:
        bins: the whole numbers, ascending without gaps.
        series: (name, classes, share of each bin as a fraction of 1).
        x_label: what the numbers count.
        description: what the figure shows, for who cannot see it.
    """
    shares = axis([share for _, _, values in series for share in values], "Share of captions", from_zero=True)
    x_axis = whole_axis(bins[0], bins[-1], x_label)
    slots = Axis(bins[0] - 0.6, bins[-1] + 0.6, x_axis.ticks, x_label)
    bar = 0.84 / len(series)
    shapes = []
    for index, (series_name, css, values) in enumerate(series):
        for number, share in zip(bins, values, strict=True):
            left = _across(number - 0.42 + bar * index, slots, WIDE)
            right = _across(number - 0.42 + bar * (index + 1), slots, WIDE)
            top = _up(share, shares, WIDE)
            title = _tag("title", f"{series_name}: {100 * share:.1f} % have {number} {x_label.lower()}")
            place = {"x": f"{left:.1f}", "y": f"{top:.1f}", "width": f"{max(right - left - 0.6, 0.4):.1f}"}
            place["height"] = f"{WIDE.height - BOTTOM - top:.1f}"
            shapes.append(_tag("rect", title, **place, rx="1", class_=f"bar {css}"))
    return _frame([*_axes(slots, shares, WIDE, percent=True), *shapes], description, WIDE)


def _axes(x_axis: Axis, y_axis: Axis, size: Size, *, percent: bool = False) -> list[Markup]:
    bottom, right = size.height - BOTTOM, size.width - RIGHT
    shapes = []
    for tick in y_axis.ticks:
        up = f"{_up(tick, y_axis, size):.1f}"
        text = f"{100 * tick:.3g} %" if percent else _short(tick)
        shapes.append(_tag("line", x1=str(LEFT), x2=str(right), y1=up, y2=up, class_="grid"))
        shapes.append(_tag("text", text, x=str(LEFT - 7), y=up, dy="0.32em", class_="tick end"))
    for tick in x_axis.ticks:
        across = f"{_across(tick, x_axis, size):.1f}"
        shapes.append(_tag("text", _short(tick), x=across, y=str(bottom + 16), class_="tick middle"))
    shapes.append(_tag("line", x1=str(LEFT), x2=str(right), y1=str(bottom), y2=str(bottom), class_="base"))
    middle = f"{(LEFT + right) / 2:.1f}"
    shapes.append(_tag("text", y_axis.label, x="4", y="12", class_="name"))
    shapes.append(_tag("text", x_axis.label, x=middle, y=str(size.height - 5), class_="name middle"))
    return shapes


def _frame(shapes: Sequence[Markup], description: str, size: Size) -> Markup:
    box = f"0 0 {size.width} {size.height}"
    css = "chart large" if size == WIDE else "chart"
    return _tag("svg", *shapes, viewBox=box, role="img", aria_label=description, class_=css)


def _across(x: float, x_axis: Axis, size: Size) -> float:
    return LEFT + (size.width - LEFT - RIGHT) * x_axis.share(x)


def _up(y: float, y_axis: Axis, size: Size) -> float:
    return size.height - BOTTOM - (size.height - TOP - BOTTOM) * y_axis.share(y)


def _round_step(step: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is not below ``step``."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * (1 - 1e-9))


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def _tag(tag: str, *content: Markup | str, **attributes: str) -> Markup:
    """Return an element with escaped attributes and text; a trailing _ is dropped, other _ become -."""
    inside = Markup("").join(content)
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(tag, written, inside)

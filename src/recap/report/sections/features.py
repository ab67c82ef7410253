"""The features: how much of their variance the principal components keep."""

from typing import Any

from recap.report.figures import WIDE, Axis, Curve, line_chart, whole_axis
from recap.report.inputs import Inputs
from recap.report.labels import count_of, number


def build(inputs: Inputs) -> dict[str, Any] | None:
    """Return the spectrum of the PCA; None when features pass through as they are."""
    cumulative = inputs.spectrum.get("cumulative", [])
    if not cumulative:
        return None
    count = len(cumulative)
    kept = number(cumulative[-1], "percent")
    percent = [0.0, *(100 * share for share in cumulative)]
    curve = Curve(range(count + 1), percent, "split-test")
    x_axis = whole_axis(0, count, "Principal components")
    y_axis = Axis(0, 100, range(0, 101, 20), "Variance kept in %")
    description = f"Variance kept by the first principal components; all {count} keep {kept}"
    return {
        "count": count_of(count, "principal component"),
        "kept": kept,
        "reached": [
            (f"{100 * share:.0f}\N{NO-BREAK SPACE}%", components)
            for share, components in inputs.description["spectrum"]["components_for"].items()
        ],
        "figure": line_chart([curve], x_axis, y_axis, description, size=WIDE),
    }

"""The features: how much of their variance the principal components keep."""

from typing import Any

from recap.report.config import ReportConfig
from recap.report.figures import WIDE, Axis, Curve, line_chart, whole_axis
from recap.report.inputs import Inputs
from recap.report.labels import count_of, number
from recap.report.selection import Selection

SHARES = (0.5, 0.9, 0.95, 0.99)


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any] | None:
    """The spectrum of the PCA; None when features pass through as they are."""
    cumulative = inputs.spectrum.get("cumulative", [])
    if not cumulative:
        return None
    count = len(cumulative)
    components = [float(number_) for number_ in range(1, count + 1)]
    percent = [100 * share for share in cumulative]
    kept = number(cumulative[-1], "percent")
    reached = [
        (f"{100 * share:.0f} %", next(i for i, value in enumerate(cumulative, 1) if value >= share))
        for share in SHARES
        if cumulative[-1] >= share
    ]
    curve = Curve([0.0, *components], [0.0, *percent], "split-val", "")
    x_axis = whole_axis(0, count, "Principal components")
    y_axis = Axis(0, 100, range(0, 101, 20), "Variance kept in %")
    description = f"Variance kept by the first principal components; all {count} keep {kept}"
    return {
        "count": count_of(count, "principal component"),
        "kept": kept,
        "reached": reached,
        "figure": line_chart([curve], x_axis, y_axis, description, marked=None, size=WIDE),
    }

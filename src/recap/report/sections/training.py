"""The training: what was measured by epoch, of all decoders in one figure each."""

from typing import Any

from recap.report.figures import SMALL, Curve, axis, line_chart, whole_axis
from recap.report.inputs import Inputs
from recap.report.labels import name, number

MEASURES = {
    "validation_loss": ("Validation loss", "Loss of a word, nats"),
    "training_loss": ("Training loss", "Loss of a word, nats"),
    "validation_cider_d": ("CIDEr-D", "Of greedy validation captions"),
    "validation_truth": ("Truth", "Share of greedy validation captions"),
    "learning_rate": ("Learning rate", "At the end of the epoch"),
    "gradient_norm": ("Gradient", "Norm before clipping"),
}
"""Title and axis of each column of history.csv."""


def build(inputs: Inputs) -> dict[str, Any]:
    """Return a panel for each measure, and a table of sizes and kept epochs."""
    measured = {column for decoder in inputs.decoders for column in decoder.history}
    return {
        "panels": [
            {"name": title, "figure": _panel(inputs, column, label)}
            for column, (title, label) in MEASURES.items()
            if all(column in decoder.history for decoder in inputs.decoders)
        ],
        "scored": inputs.params.get("train", {}).get("scored_images")
        if "validation_cider_d" in measured
        else None,
        "truth": "validation_truth" in measured,
        "last": inputs.params.get("train", {}).get("keep") == "last",
        "legend": [(decoder.name, name(decoder.name)) for decoder in inputs.decoders],
        "rows": [
            {
                "name": name(decoder.name),
                "css": decoder.name,
                "parameters": number(decoder.summary["parameters"], "count"),
                "epochs": number(decoder.summary["epochs"], "count"),
                "kept": number(decoder.summary["best_epoch"], "count"),
                "training_loss": number(decoder.summary["training_loss"], "score"),
                "validation_loss": number(decoder.summary["validation_loss"], "score"),
                "perplexity": number(decoder.metrics.get("perplexity"), "decimal"),
            }
            for decoder in inputs.decoders
        ],
    }


def _panel(inputs: Inputs, column: str, label: str) -> Any:
    decoders = inputs.decoders
    last = max(int(max(decoder.history["epoch"], default=1)) for decoder in decoders)
    # learning rates can be the same: each line has gaps that show those below it
    css = "decoder-{0} over-{1}" if column == "learning_rate" else "decoder-{0}"
    curves = [
        Curve(own.history["epoch"], own.history[column], css.format(own.name, place), name(own.name))
        for place, own in enumerate(decoders)
    ]
    marked = [
        (own.summary["best_epoch"], own.summary["validation_loss"])
        for own in decoders
        if column == "validation_loss"
    ]
    values = [value for curve in curves for value in curve.y]
    y_axis = axis(values, label, from_zero=column == "learning_rate")
    description = f"{MEASURES[column][0]} by epoch, of " + ", ".join(name(own.name) for own in decoders)
    return line_chart(curves, whole_axis(1, last, "Epoch"), y_axis, description, size=SMALL, marked=marked)

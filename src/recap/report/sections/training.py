"""The training: loss curves of the decoders side by side."""

from typing import Any

from recap.report.config import ReportConfig
from recap.report.figures import SMALL, Axis, Curve, axis, line_chart, whole_axis
from recap.report.inputs import Decoder, Inputs
from recap.report.labels import name, number
from recap.report.selection import Selection


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any]:
    """A panel a decoder on common axes, and a table of sizes and best epochs."""
    losses = [
        loss
        for decoder in inputs.decoders
        for column in ("training_loss", "validation_loss")
        for loss in decoder.history[column]
    ]
    last = max(int(max(decoder.history["epoch"], default=1)) for decoder in inputs.decoders)
    x_axis = whole_axis(1, last, "Epoch")
    y_axis = axis(losses, "Loss", from_zero=False)
    return {
        "panels": [
            {
                "name": name(decoder.name),
                "css": decoder.name,
                "figure": _panel(decoder, inputs.decoders, x_axis, y_axis),
            }
            for decoder in inputs.decoders
        ],
        "rows": [_row(decoder) for decoder in inputs.decoders],
    }


def _panel(decoder: Decoder, decoders: list[Decoder], x_axis: Axis, y_axis: Axis) -> Any:
    epochs = decoder.history["epoch"]
    curves = [
        Curve(other.history["epoch"], other.history["validation_loss"], "other", "")
        for other in decoders
        if other is not decoder
    ]
    shade = f"decoder-{decoder.name}"
    curves.append(Curve(epochs, decoder.history["training_loss"], f"{shade} thin", "training loss"))
    curves.append(Curve(epochs, decoder.history["validation_loss"], shade, "validation loss"))
    best, loss = decoder.summary["best_epoch"], decoder.summary["validation_loss"]
    description = (
        f"Loss of the {name(decoder.name)} by epoch, lowest validation loss {loss:.3f} in epoch {best}"
    )
    return line_chart(curves, x_axis, y_axis, description, marked=(best, loss), size=SMALL)


def _row(decoder: Decoder) -> dict[str, str]:
    summary = decoder.summary
    return {
        "name": name(decoder.name),
        "css": decoder.name,
        "parameters": number(summary["parameters"], "count"),
        "epochs": number(summary["epochs"], "count"),
        "best": number(summary["best_epoch"], "count"),
        "training_loss": number(summary["training_loss"], "score"),
        "validation_loss": number(summary["validation_loss"], "score"),
        "perplexity": number(decoder.metrics.get("perplexity"), "decimal"),
    }

"""The backbone, where it was trained here: its loss, and how often it reads each attribute right."""

from typing import Any

from recap.report.figures import WIDE, Curve, axis, line_chart, whole_axis
from recap.report.inputs import Inputs
from recap.report.labels import name, number

ALL_RIGHT = "all_right"
PHASES = {"crops": "single digit crops", "scenes": "whole scenes"}


def build(inputs: Inputs) -> dict[str, Any] | None:
    """Return loss by step, a curve for each phase, and accuracies of parts; None for one from elsewhere."""
    if not inputs.backbone_losses:
        return None
    curves = [
        Curve(steps, losses, f"phase-{index}", f"loss on {PHASES.get(phase, phase)}")
        for index, (phase, (steps, losses)) in enumerate(inputs.backbone_losses.items())
    ]
    last = max(int(curve.x[-1]) for curve in curves)
    loss_axis = axis([loss for curve in curves for loss in curve.y], "Loss", from_zero=True)
    description = f"Loss of the backbone over {last} training steps"
    metrics = inputs.backbone_metrics
    parts = [part for part, values in metrics.items() if isinstance(values, dict)]
    heads = list(dict.fromkeys(head for part in parts for head in metrics[part] if head != ALL_RIGHT))
    return {
        "parameters": number(metrics["parameters"], "count"),
        "figure": line_chart(curves, whole_axis(0, last, "Step"), loss_axis, description, size=WIDE),
        "legend": [
            (f"phase-{index}", PHASES.get(phase, phase)) for index, phase in enumerate(inputs.backbone_losses)
        ],
        "parts": [name(part) for part in parts],
        "rows": [
            {
                "name": "Every attribute" if head == ALL_RIGHT else name(head),
                "total": head == ALL_RIGHT,
                "cells": [number(metrics[part].get(head), "percent") for part in parts],
            }
            for head in (ALL_RIGHT, *heads)
        ],
    }

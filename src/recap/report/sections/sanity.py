"""The sanity checks: gradients beside numerical ones, and reference models that learn captions by heart."""

from typing import Any

from markupsafe import Markup

from recap.report.figures import SMALL, Curve, line_chart, log_axis, whole_axis
from recap.report.inputs import Inputs, Sanity
from recap.report.labels import listing, name, number
from recap.report.selection import EXAMPLES
from recap.text.vocabulary import END, SPECIAL_WORDS

LOSS_OF = {"transformer": "step"}
"""What the reference solvers' loss is a mean of, where it is not a caption."""


def build(inputs: Inputs) -> dict[str, Any] | None:
    """Return loss curves with their bars, a row for each checked function, and captions that come back."""
    sanity = inputs.sanity
    if sanity is None:
        return None
    returned = _returned(sanity)
    return {
        "captions": len({row["image"] for row in sanity.captions}),
        "panels": [
            {"name": name(decoder), "css": decoder, "figure": _panel(sanity, decoder)}
            for decoder in sanity.curves
        ],
        "rows": [_row(sanity, decoder) for decoder in sanity.curves],
        "gradients": _gradients(sanity.gradients),
        "checked": number(len(sanity.gradients), "count"),
        "passed": number(sum(row["passed"] for row in sanity.gradients), "count"),
        "examples": [
            {"image": inputs.shown_image("train", int(image)), "caption": caption}
            for image, caption in list(returned.items())[:EXAMPLES]
        ],
    }


def _panel(sanity: Sanity, decoder: str) -> Markup:
    """Return the loss of every step on an axis of powers of ten, with the bar for the last one."""
    steps, losses = sanity.curves[decoder]
    bar = float(sanity.metrics[decoder]["bar"])
    curves = [
        Curve([0, steps[-1]], [bar, bar], "limit"),
        Curve(steps, losses, f"decoder-{decoder}"),
    ]
    description = f"Loss of the {name(decoder)} by step, {losses[0]:.3g} to {losses[-1]:.3g}; bar {bar:g}"
    loss_axis = log_axis([*losses, bar], "Loss")
    steps_axis = whole_axis(0, int(steps[-1]), "Step")
    return line_chart(curves, steps_axis, loss_axis, description, size=SMALL)


def _row(sanity: Sanity, decoder: str) -> dict[str, Any]:
    metrics = sanity.metrics[decoder]
    return {
        "name": name(decoder),
        "css": decoder,
        "loss": f"{metrics['final_loss']:.3g}",
        "bar": f"{metrics['bar']:g} a {LOSS_OF.get(decoder, 'caption')}",
        "passed": bool(metrics["passed"]),
        "word_for_word": number(metrics["word_for_word"], "percent"),
    }


def _gradients(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each function: what was differentiated, and its largest error."""
    functions: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        functions.setdefault(row["function"], []).append(row)
    return [
        {
            "function": function,
            "gradients": listing([row["gradient"] for row in own]),
            "error": f"{max(row['error'] for row in own):.1e}",
            "threshold": f"{own[0]['threshold']:.0e}",
            "passed": all(row["passed"] for row in own),
        }
        for function, own in functions.items()
    ]


def _returned(sanity: Sanity) -> dict[str, str]:
    """By image, the captions that every decoder gives back word for word, in the order of the file."""
    failed = {row["image"] for row in sanity.captions if row["generated"] != row["caption"]}
    return {
        row["image"]: row["caption"].removesuffix(SPECIAL_WORDS[END]).rstrip()
        for row in sanity.captions
        if row["image"] not in failed
    }

"""What the networks look at: the pictures of the stage `visualize`, by kind."""

from typing import Any

from recap.reporting.config import ReportConfig
from recap.reporting.images import inline_picture
from recap.reporting.inputs import Inputs
from recap.reporting.selection import Selection

KINDS = {
    "none": ("", ""),
    "saliency": (
        "Saliency maps",
        "How much the score of the predicted class changes with each pixel: the largest absolute gradient "
        "over the colour channels (Simonyan et al. 2013). Red pixels matter most.",
    ),
}


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any] | None:
    """A group a kind, in the order of index.json; None when there is nothing to show or say."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in inputs.pictures:
        picture = inline_picture(inputs.vision / entry["file"]) if entry["file"] else None
        groups.setdefault(entry["kind"], []).append({"label": entry["label"], "picture": picture})
    if not groups:
        return None
    shown = []
    for kind, entries in groups.items():
        title, text = KINDS.get(kind, (kind.replace("_", " ").capitalize(), ""))
        shown.append({"title": title, "text": text, "entries": entries})
    return {"groups": shown}

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
    "methods": ("Methods compared", "The same question asked in different ways: do they agree?"),
    "randomization": (
        "Shuffled weights",
        "A map that says something falls apart when the weights that it explains do (Adebayo et al. 2018).",
    ),
    "fooling": ("Fooling images", "A small change, found by gradient ascent, turns one class into another."),
    "class_visualization": ("Class visualization", "Images grown from noise until the backbone is sure."),
    "word_saliency": (
        "Which pixels said the word",
        "The gradient of each word’s log-probability, through decoder, PCA and backbone back to the image.",
    ),
    "attention": ("Attention", "What the Transformer looks back at while it writes."),
}
"""Title and explanation of each kind of picture; another kind is shown under its own name."""


WIDE = 820
"""Pictures wider than this, in pixels, have a row for themselves."""
SHOWN_WIDE, SHOWN = 3, 4
"""How many pictures of a kind are open, wide ones and others; the rest unfolds."""


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any] | None:
    """A group a kind, in the order of index.json, pictures of one image side by side; None without any."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in inputs.pictures:
        picture = inline_picture(inputs.vision / entry["file"]) if entry["file"] else None
        groups.setdefault(entry["kind"], []).append(
            {
                "label": entry["label"],
                "image": entry["image"],
                "picture": picture,
                "wide": bool(picture and picture.width > WIDE),
            }
        )
    if not groups:
        return None
    shown = []
    for kind, entries in groups.items():
        title, text = KINDS.get(kind, (kind.replace("_", " ").capitalize(), ""))
        images = list(dict.fromkeys(entry["image"] for entry in entries))
        entries.sort(key=lambda entry: images.index(entry["image"]))
        count = SHOWN_WIDE if entries[0]["wide"] else SHOWN
        shown.append({"title": title, "text": text, "open": entries[:count], "folded": entries[count:]})
    return {"groups": shown}

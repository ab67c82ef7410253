"""What the networks look at: the pictures of the stage `visualize`, by kind."""

from collections.abc import Mapping, Sequence
from typing import Any

from recap.report.images import inline_image
from recap.report.inputs import Inputs
from recap.report.labels import NAMES, name, number

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
        "What speaks for each word of the caption that is scored: its log-probability, through decoder, PCA "
        "and backbone back to the image. Integrated gradients say what a pixel adds to it, where that is "
        "positive, on the way from the image’s mean colour; the gradient, how much it reacts to a pixel. "
        "Attention, of a decoder that has it, says where it looks.",
    ),
    "attention": (
        "Attention",
        "Which words the Transformer looks back at while it writes: a row for each word written, a column "
        "for each word read, the darker the more. What it sees of the image has no words and is left out.",
    ),
}
"""Title and explanation of each kind of picture; another kind is shown under its own name."""

PICTURE_SIDE, SHEET_SIDE = 1400, 4096
"""Larger pictures, and larger sheets of the maps of words, are made as small as this, in pixels."""
WIDE, HIGH = 620, 400
"""Pictures wider than this, in pixels, have a row for themselves; higher ones unfold."""
SHOWN_WIDE, SHOWN = 1, 2
"""How many pictures of a kind are open, wide ones and others: a row. The rest unfolds."""
LEAST = 0.75
"""How much of its width a picture keeps, for its letters to be read."""


def build(inputs: Inputs) -> dict[str, Any] | None:
    """Return a group for each kind, as index.json orders them, pictures of an image side by side, or None."""
    groups: dict[str, list[dict[str, Any]]] = {}
    words = [entry for entry in inputs.pictures if "words" in entry]
    if words:
        groups[words[0]["kind"]] = []
    for entry in inputs.pictures:
        if "words" in entry:
            continue
        picture = inline_image(inputs.vision / entry["file"], PICTURE_SIDE) if entry["file"] else None
        groups.setdefault(entry["kind"], []).append(
            {
                "label": entry["label"],
                "image": entry["image"],
                "picture": picture,
                "wide": bool(picture and picture.width > WIDE),
                "high": bool(picture and picture.height > HIGH),
                "least": int(LEAST * picture.width) if picture else 0,
            }
        )
    if not groups:
        return None
    shown = []
    for kind, entries in groups.items():
        title, text = KINDS.get(kind, (kind.replace("_", " ").capitalize(), ""))
        images = list(dict.fromkeys(entry["image"] for entry in entries))
        entries.sort(key=lambda entry: images.index(entry["image"]))
        count = SHOWN_WIDE if entries and entries[0]["wide"] else SHOWN
        if entries and entries[0]["high"]:
            count = 0
        shown.append(
            {
                "title": title,
                "text": text,
                "maps": _maps(inputs, words) if words and kind == words[0]["kind"] else None,
                "table": table(kind, inputs.vision_metrics),
                "open": entries[:count],
                "folded": entries[count:],
            }
        )
    return {"groups": shown}


def _maps(inputs: Inputs, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By image, the words of each decoder and the sheet that shows them: the data of vision.js."""
    images: dict[str, dict[str, Any]] = {}
    rows = {image["file_name"]: row for row, image in enumerate(inputs.splits["test"].images)}
    for entry in entries:
        row = rows[entry["image"]]
        image = {"id": inputs.splits["test"].images[row]["id"], "listed": row in inputs.selection.gallery}
        shown = images.setdefault(entry["image"], image | {"decoders": {}})
        shown["decoders"][entry["decoder"]] = {
            "name": name(entry["decoder"]),
            "words": entry["words"],
            "methods": entry["methods"],
            "sheet": inline_image(inputs.vision / entry["file"], SHEET_SIDE, len(entry["words"]) + 1).uri,
        }
    return list(images.values())


def table(kind: str, metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table of a kind of picture: caption, head and rows; None where nothing was measured."""
    head: Sequence[str]
    rows: list[Sequence[str]]
    if kind == "fooling" and (fooling := metrics.get("fooling")):
        head = ("Answer", "Images", "Fooled", "As 8-bit picture", "Steps, mean", "L2, median", "L∞, median")
        rows = [
            (
                name(answer),
                number(found["pairs"], "count"),
                number(found["success_rate"], "percent"),
                number(found.get("success_rate_8_bit"), "percent"),
                number(found.get("mean_iterations"), "decimal"),
                number(found.get("median_l2"), "score"),
                number(found.get("median_linf"), "score"),
            )
            for answer, found in fooling.items()
        ]
        return _table("Each image towards a random other class; pixels are in 0 to 1", head, rows)
    if kind == "class_visualization" and (grown := metrics.get("class_visualization")):
        head = ("Answer", "Grown as", "Probability, mean", "Above 0.9")
        rows = [
            (
                name(answer),
                way,
                number(found["mean_probability"], "score"),
                number(found["share_above_0.9"], "percent"),
            )
            for answer, ways in grown.items()
            for way, found in ways.items()
        ]
        return _table("How sure the backbone is of the image that was grown for a class", head, rows)
    if kind == "randomization" and (similar := metrics.get("randomization")):
        rows = [(name(method), number(value, "score")) for method, value in similar.items()]
        caption = "Rank correlation of maps before and after all weights are shuffled"
        return _table(caption, ("Method", "Correlation"), rows)
    if kind == "word_saliency" and (words := metrics.get("words")):
        head = (
            *("Decoder", "Words for", "Words", "Map"),
            *("Strongest", "of two digits", "Share of map", "of image"),
        )
        caption = (
            "Words of true captions: for a digit, its colour or its size, or for how two digits lie. How "
            "often the map’s strongest pixel lies on what the word is about, also where a scene has two "
            "digits; how much of the map does, beside the digits’ share of the image. For comparison the "
            "distance of each pixel to the image’s mean, and a random map"
        )
        summary = "Do the maps of words lie on what they name?"
        return _table(caption, head, _word_rows(words), summary)
    return None


def _word_rows(words: Mapping[str, Any]) -> list[Sequence[str]]:
    return [
        (
            name(decoder),
            kind,
            number(found["words"], "count"),
            name(method),
            number(found[method]["pointing_game"], "percent"),
            number(found[method].get("pointing_game_of_two"), "percent"),
            number(found[method]["mass"], "percent"),
            number(found["area"], "percent"),
        )
        for decoder, kinds in sorted(words.items(), key=lambda own: [*NAMES, own[0]].index(own[0]))
        for kind in ("digit", "colour", "size", "relation")
        if (found := kinds.get(kind))
        for method in ("attention", "integrated_gradients", "gradient", "contrast", "random_map")
        if method in found
    ]


def _table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], summary: str = ""
) -> dict[str, Any] | None:
    """Return the table, which unfolds under its summary if it has one; None without rows."""
    return {"caption": caption, "head": head, "rows": rows, "summary": summary} if rows else None

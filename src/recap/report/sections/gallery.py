"""The gallery: validation images with the captions of people and of every decoder."""

from typing import Any

from recap.report.config import ReportConfig
from recap.report.inputs import Inputs
from recap.report.labels import name, number
from recap.report.selection import Selection, shown_image


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any]:
    """Cards in three groups: drawn at random, best and worst by CIDEr-D."""
    groups = [
        ("At random", f"Drawn with the seed {config.seed}, not chosen.", selection.random),
        ("Best captioned", "Highest CIDEr-D, mean of the decoders.", selection.best),
        ("Worst captioned", "Lowest CIDEr-D, mean of the decoders.", selection.worst),
    ]
    return {
        "groups": [
            {"title": title, "text": text, "cards": [_card(inputs, row) for row in rows]}
            for title, text, rows in groups
            if rows
        ],
        "decoders": [(decoder.name, name(decoder.name)) for decoder in inputs.decoders],
        "parts": [(part, name(part)) for part in inputs.parts],
        "checked": inputs.raw.source.scenes,
    }


def _card(inputs: Inputs, row: int) -> dict[str, Any]:
    captions = []
    for decoder in inputs.decoders:
        scores = decoder.per_image[row]
        truth = scores.get("truth")
        captions.append(
            {
                "name": name(decoder.name),
                "css": decoder.name,
                "text": decoder.captions[row],
                "cider_d": number(scores["cider_d"], "decimal"),
                "truth": None if truth is None else truth == 1,
                "failed": [name(kind).lower() for kind in dict.fromkeys(scores.get("failed_claims", []))],
            }
        )
    verdicts = [caption["truth"] for caption in captions if caption["truth"] is not None]
    return {
        "image": shown_image(inputs, "val", row),
        "part": inputs.splits["val"].images[row].get("part", "validation"),
        "verdict": "" if not verdicts else "true" if all(verdicts) else "false",
        "references": inputs.splits["val"].references[row],
        "captions": captions,
    }

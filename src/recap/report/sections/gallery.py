"""Every scored image with its references and what each decoder said of it: the data that gallery.js shows."""

import dataclasses
import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from recap.report.inputs import Decoder, Inputs
from recap.report.labels import name
from recap.text.vocabulary import Vocabulary


def build(inputs: Inputs) -> dict[str, Any]:
    """Return the images in the order of the data, and what the form offers."""
    parts = [(part, part.capitalize()) for part in inputs.parts]
    return {
        "decoders": [(decoder.name, name(decoder.name)) for decoder in inputs.decoders],
        "parts": parts,
        "checked": inputs.raw.source.scenes,
        "compared": False,
        "fetchable": not inputs.raw.source.images and not inputs.fetched,
        "shown": len(inputs.selection.gallery),
        "scored": len(inputs.splits["test"].images),
        "data": {
            "parts": dict(parts),
            "decoders": {decoder.name: name(decoder.name) for decoder in inputs.decoders},
            "images": [_image(inputs, row) for row in inputs.selection.gallery],
        },
    }


def _image(inputs: Inputs, row: int) -> dict[str, Any]:
    shown = inputs.shown_image("test", row)
    return {
        **with_picture(shown),
        "part": inputs.splits["test"].images[row].get("part", inputs.parts[0]),
        "references": inputs.splits["test"].references[row],
        "captions": {
            decoder.name: shown_caption(decoder, row, inputs.captions.vocabulary)
            for decoder in inputs.decoders
        },
    }


def with_picture(shown: dict[str, Any]) -> dict[str, Any]:
    """Return what stands for an image, of ``images.stand_in``, as gallery.js reads it."""
    inline = shown["inline"]
    others = {key: value for key, value in shown.items() if key != "inline"}
    return {**others, "picture": dataclasses.asdict(inline) if inline else None}


def shown_caption(decoder: Decoder, row: int, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return what a decoder said of an image, as gallery.js reads it."""
    scores = decoder.per_image[row]
    truth = scores.get("truth")
    return {
        "words": word_probabilities(decoder.captions[row], scores.get("log_probabilities", ()), vocabulary),
        "log_probability": round(sum(scores["log_probabilities"]), 1)
        if "log_probabilities" in scores
        else None,
        "runners_up": [
            (own["caption"], round(own["log_probability"], 1)) for own in scores.get("runners_up", ())
        ],
        "score": round(scores["cider_d"], 2),
        "truth": None if truth is None else truth == 1,
        "failed": [name(kind).lower() for kind in dict.fromkeys(scores.get("failed_claims", []))],
    }


def word_probabilities(
    caption: str, log_probabilities: Sequence[float], vocabulary: Vocabulary
) -> list[tuple[str, int | None]]:
    """Return the words of a caption with their probabilities in percent; None where these are not known.

    Args:
        caption: as a decoder wrote it.
        log_probabilities: in nats, of each of its tokens and, if it came to that, of <END>.
        vocabulary: its tokens; the probability of a word of characters is the product of theirs.
    """
    pieces = vocabulary.read(caption)[0]
    if not 0 <= len(log_probabilities) - len(pieces) <= 1:
        return [(word, None) for word in caption.split()]
    scored = list(zip(pieces, log_probabilities, strict=False))
    if vocabulary.separator:
        words = [[pair] for pair in scored]
    else:
        words = [list(own) for blank, own in groupby(scored, lambda pair: pair[0] == " ") if not blank]
    return [
        ("".join(piece for piece, _ in own), round(100 * math.exp(sum(log for _, log in own))))
        for own in words
    ]

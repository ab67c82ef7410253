"""The top of the page: what was trained on what, and how well it went."""

from typing import Any

from recap.report.config import ReportConfig
from recap.report.inputs import Inputs
from recap.report.labels import count_of, listing, metric, name, number
from recap.report.selection import Selection, shown_image

SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


def build(inputs: Inputs, selection: Selection, config: ReportConfig) -> dict[str, Any]:
    """Title, a paragraph, key numbers and a few captions of the best decoder."""
    best, part = inputs.best, inputs.parts[0]
    thing = "scene" if inputs.raw.source.scenes else "image"
    train, validation = inputs.splits["train"], inputs.splits["val"]
    return {
        "title": _title(inputs, thing),
        "decoders": listing([name(decoder.name) for decoder in inputs.decoders]),
        "trained_on": f"{count_of(len(train.images), f'{thing}')} with "
        f"{count_of(len(inputs.captions.train_captions), 'caption')}",
        "best": best.name,
        "best_name": name(best.name),
        "part": name(part).lower(),
        "single": len(inputs.decoders) == 1,
        **_comparison(best.metrics[part]),
        "tiles": [
            *_score_tiles(inputs),
            (number(len(validation.images), "count"), f"{thing}s to describe", "kept out of training"),
            (
                number(len(inputs.captions.vocabulary), "count"),
                "words to choose from",
                "special ones included",
            ),
        ],
        "examples": [
            {
                "image": shown_image(inputs, "val", row),
                "caption": best.captions[row],
                "truth": best.per_image[row].get("truth"),
            }
            for row in selection.examples
        ],
    }


def _title(inputs: Inputs, thing: str) -> str:
    count = len(inputs.decoders)
    shown = count_of(len(inputs.splits["val"].images), thing)
    if count == 1:
        return f"The {name(inputs.decoders[0].name)} describes {shown} it never saw"
    written = SMALL_NUMBERS[count].capitalize() if count < len(SMALL_NUMBERS) else f"{count:,}"
    return f"{written} decoders describe {shown} they never saw"


def _comparison(metrics: dict[str, Any]) -> dict[str, str | None]:
    """The best score in words, as far as its floor and ceiling are known."""
    score, floor, people = (metrics.get(key) for key in ("cider_d", "constant_cider_d", "human_cider_d"))
    return {
        "score": number(score, "decimal"),
        "against": _against(score, floor),
        "people": number(people, "decimal") if people is not None else None,
        "truth": number(metrics["truth"], "percent") if "truth" in metrics else None,
    }


def _against(score: float | None, floor: float | None) -> str | None:
    """A score beside the best constant caption's, None where there is none; "1.0 times" would hide a loss."""
    if score is None or not floor:
        return None
    written = f"the best constant caption ({number(floor, 'decimal')})"
    times = f"{score / floor:.1f}"
    if times == "1.0":
        return f"about as much as {written}"
    return f"{times} times {written}" if score > floor else f"less than {written}"


def _score_tiles(inputs: Inputs) -> list[tuple[str, str, str]]:
    """The best value of each headline metric on each part, with the decoder that has it."""
    tiles = []
    for key in ("truth", "cider_d"):
        for part in inputs.parts:
            having = [decoder for decoder in inputs.decoders if key in decoder.metrics[part]]
            if having:
                best = max(having, key=lambda decoder: float(decoder.metrics[part][key]))
                form = "decimal" if key == "cider_d" else metric(key).form
                label = "captions that are true" if key == "truth" else metric(key).label
                where = name(part).lower()
                tiles.append((number(best.metrics[part][key], form), label, f"{name(best.name)}, {where}"))
    return tiles

"""The top of the page: what was trained on what, and how well it went, as far as the tests can tell."""

from typing import Any

from recap.report.inputs import Inputs
from recap.report.labels import chance, count_of, listing, metric, name, number
from recap.report.sections.scores import leaders

SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


def build(inputs: Inputs) -> dict[str, Any]:
    """Title, a paragraph, key numbers and a few captions of the decoder with the highest CIDEr-D."""
    part = inputs.parts[0]
    first, p_value = leaders(inputs.decoders, part, "cider_d", inputs.seed)
    metrics = first[0].metrics[part]
    thing = "scene" if inputs.raw.source.scenes else "image"
    train, test = inputs.splits["train"], inputs.splits["test"]
    return {
        "title": _title(inputs, thing),
        "decoders": listing(
            [
                f"{name(decoder.name)} ({number(decoder.summary['parameters'], 'count')} parameters)"
                for decoder in inputs.decoders
            ]
        ),
        "trained_on": f"{count_of(len(train.images), thing)} with "
        f"{count_of(len(inputs.captions.of('train')[0]), 'caption')}",
        "leaders": [(decoder.name, name(decoder.name)) for decoder in first],
        "scores": listing([number(decoder.metrics[part]["cider_d"], "decimal") for decoder in first]),
        "p": None if p_value is None else chance(p_value),
        "best_name": name(first[0].name),
        "part": name(part).lower(),
        "single": len(inputs.decoders) == 1,
        "against": _against(metrics["cider_d"], metrics.get("constant_cider_d")),
        "reference": number(metrics["human_cider_d"], "decimal") if "human_cider_d" in metrics else None,
        "truth": number(metrics["truth"], "percent") if "truth" in metrics else None,
        "tiles": [
            *_score_tiles(inputs),
            (
                number(len(test.images), "count"),
                f"test {thing}s to describe",
                "never used to choose anything",
            ),
            (
                number(len(inputs.captions.vocabulary), "count"),
                "words to choose from",
                "special ones included",
            ),
        ],
        "examples": [
            {
                "image": inputs.shown_image("test", row),
                "caption": first[0].captions[row],
                "truth": first[0].per_image[row].get("truth"),
            }
            for row in inputs.selection.examples
        ],
    }


def _title(inputs: Inputs, thing: str) -> str:
    count = len(inputs.decoders)
    shown = count_of(len(inputs.splits["test"].images), thing)
    if count == 1:
        return f"The {name(inputs.decoders[0].name)} describes {shown} it never saw"
    written = SMALL_NUMBERS[count].capitalize() if count < len(SMALL_NUMBERS) else f"{count:,}"
    return f"{written} decoders describe {shown} they never saw"


def _against(score: float | None, floor: float | None) -> str | None:
    """Return a score beside the best constant caption's, or None; "1.0 times" would hide a loss."""
    if score is None or not floor:
        return None
    written = f"the best constant caption ({number(floor, 'decimal')})"
    times = f"{score / floor:.1f}"
    if times == "1.0":
        return f"about as much as {written}"
    return f"{times} times {written}" if score > floor else f"less than {written}"


def _score_tiles(inputs: Inputs) -> list[tuple[str, str, str]]:
    """Return the best value of each headline metric on each part, and whose it is."""
    tiles = []
    for key in ("truth", "cider_d"):
        for part in inputs.parts:
            having = [decoder for decoder in inputs.decoders if key in decoder.metrics[part]]
            if having:
                first, p_value = leaders(having, part, key, inputs.seed)
                form = "decimal" if key == "cider_d" else metric(key).form
                label = "captions that are true" if key == "truth" else metric(key).label
                who = listing([name(decoder.name) for decoder in first])
                tie = "" if p_value is None else ": no certain difference in this run"
                note = f"{who}{tie}, {name(part).lower()}"
                tiles.append((number(first[0].metrics[part][key], form), label, note))
    return tiles

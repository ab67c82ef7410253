"""The page that compares two pipelines: settings that differ, scores, the same images side by side."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recap.comparison.sides import TEST_IMAGES, Side
from recap.metrics.resampling import PairedDifference, paired_difference
from recap.report.images import stand_in
from recap.report.inputs import Decoder
from recap.report.labels import LARGEST_CHANCE, chance, ends, listing, metric, name, number, signed
from recap.report.page import render
from recap.report.sections.gallery import shown_caption, with_picture
from recap.report.sections.reproduce import written_setting
from recap.report.sections.scores import RESAMPLES, TESTED, columns

HERE = Path(__file__).parent
LARGEST = 500
"""Images on the page; of more, those whose CIDEr-D changes most."""
SEED = 0
ABSENT = "–"


def render_comparison(base: Side, this: Side, folder: Path) -> str:
    """Return the page as HTML that loads nothing; ``folder`` receives the pictures that are shown."""
    ids = [image for image, digest in this.digests.items() if base.digests.get(image) == digest]
    places = [{image: row for row, image in enumerate(side.digests)} for side in (base, this)]
    rows = {image: (places[0][image], places[1][image]) for image in ids}
    names = list(dict.fromkeys(own.name for side in (this, base) for own in side.decoders))
    settings = _settings(base, this)
    contents = [
        ("settings", "Settings", settings),
        ("scores", "Scores", _scores(base, this, names, list(rows.values()))),
        ("gallery", "Images", _gallery(base, this, names, rows, folder) if rows else None),
    ]
    top = {
        "title": f"{base.name} and {this.name}",
        "base": base.name,
        "decoders": listing([name(own) for own in names]),
        "settings": len(settings["rows"]),
        "common": number(len(ids), "count"),
        "images": number(len(this.digests), "count"),
    }
    style = (HERE / "comparison.css").read_text(encoding="utf-8")
    return render(top, contents, ("page.js", "gallery.js"), HERE / "templates", style)


def _settings(base: Side, this: Side) -> dict[str, Any]:
    def written(side: Side, key: str) -> str:
        return written_setting(side.settings[key]) if key in side.settings else ABSENT

    keys = sorted(base.settings.keys() | this.settings.keys())
    rows = [(key, written(base, key), written(this, key)) for key in keys]
    files = sorted(base.files.keys() | this.files.keys())
    return {
        "names": (base.name, this.name),
        "rows": [row for row in rows if row[1] != row[2]],
        "files": [path for path in files if base.files.get(path) != this.files.get(path)],
    }


def _scores(base: Side, this: Side, names: list[str], rows: list[tuple[int, int]]) -> dict[str, Any]:
    """Return a table for each part: both values of each score with intervals, and the paired difference."""
    parts = list(dict.fromkeys([*this.decoders[0].parts, *base.decoders[0].parts]))
    return {
        "names": (base.name, this.name),
        "parts": [
            {"title": name(part), "rows": list(_lines(base, this, names, rows, part))} for part in parts
        ],
    }


def _lines(
    base: Side, this: Side, names: list[str], rows: list[tuple[int, int]], part: str
) -> Iterator[dict[str, Any]]:
    for decoder in names:
        pair = [_decoder(side, decoder, part) for side in (base, this)]
        keys = columns([own for own in pair if own], part, "scores")
        for key in keys:
            before, after = (own.metrics[part].get(key) if own else None for own in pair)
            form = metric(key).form
            found = _difference(pair, part, key, rows)
            plain = None if before is None or after is None else after - before
            yield {
                "name": name(decoder),
                "css": decoder,
                "first": key == keys[0],
                "count": len(keys),
                "metric": metric(key),
                "values": [_value(own, part, key) for own in pair],
                "difference": ABSENT if plain is None else signed(plain, form),
                "range": ends(found.low, found.high, form) if found else "",
                "p": chance(found.p_value) if found else "",
                "certain": found is not None and found.p_value <= LARGEST_CHANCE,
            }


def _decoder(side: Side, wanted: str, part: str) -> Decoder | None:
    return next((own for own in side.decoders if own.name == wanted and part in own.metrics), None)


def _value(decoder: Decoder | None, part: str, key: str) -> dict[str, str]:
    """Return a score as it is written, and its 95 % interval."""
    value = decoder.metrics[part].get(key) if decoder else None
    if decoder is None or value is None:
        return {"text": ABSENT, "range": ""}
    form, span = metric(key).form, decoder.metrics[part].get("interval", {}).get(key)
    ends = f"{number(span['low'], form)} to {number(span['high'], form)}" if span else ""
    return {"text": number(value, form), "range": ends}


def _difference(
    pair: list[Decoder | None], part: str, key: str, rows: list[tuple[int, int]]
) -> PairedDifference | None:
    """Return this checkout's scores less the other's on the images of a part that both have, or None."""
    base, this = pair
    if base is None or this is None or key not in TESTED:
        return None
    scores = [(this.per_image[own], base.per_image[other]) for other, own in rows]
    common = [
        (own[key], other[key]) for own, other in scores if own["part"] == part and key in own and key in other
    ]
    if not common:
        return None
    ours, theirs = np.array(common).T
    return paired_difference(ours, theirs, RESAMPLES, np.random.default_rng(SEED))


def _gallery(
    base: Side, this: Side, names: list[str], rows: Mapping[Any, tuple[int, int]], folder: Path
) -> dict[str, Any]:
    """Return the images that both have, as the report shows its own, with the captions of both sides."""
    systems = {
        f"{own.name}-{key}": (own, side, end)
        for wanted in names
        for end, (key, side) in enumerate((("base", base), ("this", this)))
        for own in side.decoders
        if own.name == wanted
    }
    labels = {key: f"{name(own.name)}, {side.name}" for key, (own, side, _) in systems.items()}

    def change(pair: tuple[int, int]) -> float:
        found = {key: own.per_image[pair[end]]["cider_d"] for key, (own, _, end) in systems.items()}
        both = [own for own in names if f"{own}-base" in found and f"{own}-this" in found]
        return sum(abs(found[f"{own}-this"] - found[f"{own}-base"]) for own in both)

    shown = sorted(rows, key=lambda image: -change(rows[image]))[:LARGEST]
    parts = [(part, part.capitalize()) for part in this.decoders[0].parts]
    checked = base.raw.source.scenes and this.raw.source.scenes
    return {
        "decoders": list(labels.items()),
        "parts": parts,
        "checked": checked,
        "fetchable": False,
        "compared": True,
        "shown": len(shown),
        "scored": len(rows),
        "data": {
            "parts": dict(parts),
            "decoders": labels,
            "images": [_image(this, systems, rows[image], folder) for image in rows if image in set(shown)],
        },
    }


def _image(
    this: Side, systems: Mapping[str, tuple[Decoder, Side, int]], pair: tuple[int, int], folder: Path
) -> dict[str, Any]:
    image = this.test.images[pair[1]]
    path = this.bring(TEST_IMAGES / image["file_name"], folder) if this.raw.source.images else None
    return {
        **with_picture(stand_in(image, path)),
        "part": image.get("part", this.decoders[0].parts[0]),
        "references": this.test.references[pair[1]],
        "captions": {
            key: shown_caption(own, pair[end], side.vocabulary) for key, (own, side, end) in systems.items()
        },
    }

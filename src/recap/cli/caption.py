"""The commands `recap caption` and `recap bundle`: a trained captioner for the user's own pictures."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.cli.prepare import add_decoding, add_model, change_decoding, check_output, prepare, warn
from recap.core import paths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recap.captioner import Captioner
    from recap.decoding.caption import Caption


def add_commands(subparsers: Any) -> None:
    """Add `caption` and `bundle` to the command line; each sets ``run``, a function of the options."""
    caption = subparsers.add_parser("caption", help="caption your own pictures")
    caption.add_argument(
        "pictures", nargs="+", type=Path, metavar="PICTURE_OR_FOLDER", help="images, or folders with images"
    )
    form = caption.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print captions with their words as JSON")
    form.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="write COCO results there and, of a folder, a contact sheet beside them, whatever is there; "
        "default: new files named for the folder",
    )
    _add_model(caption)
    caption.set_defaults(run=_caption)

    bundle = subparsers.add_parser("bundle", help="write a captioner that needs no checkout into a folder")
    bundle.add_argument("folder", type=Path, metavar="DIR", help="a new or an empty folder")
    _add_model(bundle)
    bundle.set_defaults(run=_bundle)


def _add_model(command: argparse.ArgumentParser) -> None:
    add_model(command, "the models of a checkout, one of them, or a bundle")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--decoder", metavar="NAME", help="such as lstm; default: all decoders as an ensemble")
    which.add_argument(
        "--ensemble", metavar="A+B", help="several decoders that speak as one, such as rnn+lstm"
    )
    add_decoding(command)


def _decoders(options: argparse.Namespace) -> list[str] | None:
    return options.ensemble.split("+") if options.ensemble else [options.decoder] if options.decoder else None


def _caption(options: argparse.Namespace) -> int:
    device = prepare(options.model)
    from recap.core.artifacts import write_json
    from recap.core.image_files import find_images
    from recap.errors import InputError
    from recap.loading import load

    if options.results is not None and options.results.suffix == ".html":
        raise InputError(
            f"--results: expected another name than the contact sheet's, received {options.results}"
        )
    if options.results is not None:
        check_output("--results", options.results)
    folders = [given for given in options.pictures if given.is_dir()]
    results = options.results
    if folders and not options.json and results is None:
        results = Path(f"{folders[0].resolve().name or 'pictures'}_captions.json")
        for path in (results, results.with_suffix(".html")):
            if path.exists():
                raise InputError(
                    f"{path}: expected none yet, received one; --results FILE names what is replaced"
                )
    captioner = change_decoding(load(options.model, None, device, _decoders(options)), options)
    if captioner.backbone is None:
        raise InputError(f"{options.model}: expected a captioner that sees images, received one of features")
    pictures = [path for given in options.pictures for path in find_images(given)]
    ids = _image_ids(pictures, options.model)
    rows: list[dict[str, Any]] = []
    is_one = len(options.pictures) == len(pictures) == 1 and pictures == options.pictures
    for place, caption, is_familiar in _captions(captioner, pictures, ids):
        path = pictures[place]
        warn(path, is_familiar)
        if not options.json:
            print(caption.text if is_one else f"{path}: {caption.text}", flush=True)
        words = zip(caption.words, caption.word_log_probabilities, strict=True)
        rows.append(
            {
                "image": str(path),
                "image_id": ids[place],
                "caption": caption.text,
                "log_probability": caption.log_probability,
                "words": [{"word": word, "log_probability": value} for word, value in words],
                "familiar": is_familiar,
            }
        )
    if options.json:
        import json

        print(json.dumps(rows, indent=2, ensure_ascii=False))
    if results is not None:
        names = [Path(row["image"]).name for row in rows]
        if len(set(names)) < len(names):  # of several folders
            names = [row["image"] for row in rows]
        kept = [
            {"image_id": row["image_id"], "caption": row["caption"], "file_name": name}
            for row, name in zip(rows, names, strict=True)
        ]
        write_json(results, kept)
        print(results)
    if results is not None and folders:
        from recap.cli.contact_sheet import write_contact_sheet

        sheet = results.with_suffix(".html")
        write_contact_sheet(sheet, rows)
        print(sheet)
    return 0 if len(rows) == len(pictures) else 1


def _captions(
    captioner: "Captioner", pictures: Sequence[Path], ids: Sequence[int]
) -> Iterator[tuple[int, "Caption", bool | None]]:
    """Yield the place, the caption and the familiarity of each picture that can be read; others are named."""
    import numpy as np

    for first in range(0, len(pictures), captioner.batch_size):
        batch = range(first, min(first + captioner.batch_size, len(pictures)))
        reduced = dict(_read(captioner, pictures, batch))
        if not reduced:
            continue
        rows = np.stack(list(reduced.values()))  # (N, K)
        found = captioner.caption_reduced(rows, [ids[place] for place in reduced])
        yield from zip(reduced, found, captioner.is_familiar(rows), strict=True)


def _read(
    captioner: "Captioner", pictures: Sequence[Path], batch: range
) -> Iterator[tuple[int, "NDArray[np.float32]"]]:
    """Read what the decoder takes (K,) of each picture; where one is broken, each is seen by itself."""
    from recap.errors import InputError

    try:
        yield from zip(batch, captioner.reduce([pictures[place] for place in batch]), strict=True)
        return
    except InputError as error:
        if len(batch) == 1:
            print(error, file=sys.stderr)
            return
    half = len(batch) // 2
    yield from _read(captioner, pictures, batch[:half])
    yield from _read(captioner, pictures, batch[half:])


def _image_ids(pictures: Sequence[Path], model: Path) -> list[int]:
    """Return the ids of pictures: those of the run's own data, the numbers that end names, or places."""
    known = _known_ids(model)
    own = [known.get(os.path.realpath(path)) for path in pictures]
    ends = [re.search(r"([0-9]{1,15})$", path.stem) for path in pictures]
    named = [int(end[1]) if end else None for end in ends]
    for found in (own, named):
        ids = [number for number in found if number is not None]
        if len(ids) == len(set(ids)) == len(pictures):
            return ids
    return list(range(len(pictures)))


def _known_ids(model: Path) -> dict[str, int]:
    from recap.core.raw_data import SPLITS, load_raw
    from recap.errors import InputError
    from recap.loading import checkout_of, models_folder

    try:
        raw = load_raw(checkout_of(models_folder(model)) / paths.RAW)
        if not raw.source.images:
            return {}
        return {
            os.path.realpath(path): int(image["id"])
            for split in SPLITS
            for path, image in zip(raw.image_paths(split), raw.captions(split)["images"], strict=True)
        }
    except (InputError, LookupError, TypeError, ValueError):
        return {}  # a bundle, or a run without data


def _bundle(options: argparse.Namespace) -> None:
    prepare(options.model)
    import dataclasses

    from recap.core.config import load_all
    from recap.errors import InputError
    from recap.loading import checkout_of, decoder_names, load, models_folder
    from recap.serving.bundle import run_around, write_bundle

    decoding = change_decoding(load(options.model, None, "cpu", _decoders(options)), options).decoding
    assert decoding is not None
    if decoding.search == "consensus":
        raise InputError(
            "--search: expected another for a bundle, which has no training captions, received 'consensus'"
        )
    models = models_folder(options.model)
    groups = load_all(checkout_of(models) / paths.PARAMS)
    names = _decoders(options) or decoder_names(options.model)
    settings = {name: dataclasses.asdict(group) for name, group in groups.items()}
    write_bundle(options.folder, run_around(models), names, dataclasses.asdict(decoding), settings)
    print(f"{options.folder}: written; recap caption --model {options.folder} PICTURE")

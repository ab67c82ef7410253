"""The commands `recap score` and `recap decodings`."""

import argparse
import os
from pathlib import Path
from typing import Any

from recap.core import paths

IMAGES = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}


def add_commands(subparsers: Any) -> None:
    """Add `score` and `decodings` to the commands.

    Args:
        subparsers: what ``argparse.ArgumentParser.add_subparsers`` returned.
    """
    score = subparsers.add_parser("score", help="score a COCO results file against COCO-format captions")
    score.add_argument("results", type=Path, metavar="RESULTS.json", help="one caption an image")
    score.add_argument("references", type=Path, metavar="REFERENCES.json", help="captions of people")
    score.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    score.add_argument(
        "--tokenizer",
        choices=("ptb", "stanford", "whitespace"),
        default="ptb",
        help="ptb: COCO's, in Python (default); stanford: it in Java; whitespace: captions are tokenized",
    )
    score.add_argument("--against", type=Path, metavar="OTHER.json", help="results to compare with, paired")
    score.add_argument(
        "--training", type=Path, metavar="CAPTIONS.json", help="captions that a novel caption is not among"
    )
    score.add_argument(
        "--meteor",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run METEOR where there is Java (default)",
    )
    score.add_argument("--resamples", type=_count, default=1000, help="of the 95 %% intervals (default 1000)")
    score.add_argument("--seed", type=_seed, default=0, help="draws them (default 0)")
    score.set_defaults(run=_score)

    decodings = subparsers.add_parser(
        "decodings", help="compare searches on the validation images: quality and cost, a table a model"
    )
    decodings.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a trained decoder, such as lstm; several joined by + are an ensemble",
    )
    decodings.add_argument(
        "--images",
        choices=tuple(IMAGES),
        default="all",
        help="which validation images: choose on one half, report on the other (default all)",
    )
    decodings.set_defaults(run=_decodings)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected 1 to 1000000, received {count}")
    return count


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, received {seed}")
    return seed


def _score(options: argparse.Namespace) -> None:
    import json

    from recap.metrics.score_files import format_table, score_files

    summary = score_files(
        options.results,
        options.references,
        against=options.against,
        training=options.training,
        tokenizer_name=options.tokenizer,
        with_meteor=options.meteor,
        resamples=options.resamples,
        seed=options.seed,
    )
    if options.json:
        print(json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        print(format_table(summary))


def _decodings(options: argparse.Namespace) -> None:
    from recap.core.arithmetic import steer

    steer(os.environ, portable=True)
    from recap.captioner import load_model
    from recap.cli.decodings import compare_decodings, format_markdown, load_validation
    from recap.core.config import load
    from recap.evaluation.config import EvaluateConfig
    from recap.runtime.config import RuntimeConfig
    from recap.runtime.setup import configure

    device = configure(load(paths.PARAMS, RuntimeConfig))
    batch_size = load(paths.PARAMS, EvaluateConfig).batch_size
    validation = load_validation(paths.RAW, paths.CAPTIONS, paths.REDUCED, IMAGES[options.images])
    references = sum(map(len, validation.references))
    for name in options.models:
        model = load_model([paths.MODELS / member for member in name.split("+")], device)
        rows = compare_decodings(model, validation, batch_size)
        print(
            f"{name}: {len(validation.image_ids)} images, {references} references, from which the idf comes"
        )
        print(f"\n{format_markdown(rows)}\n", flush=True)

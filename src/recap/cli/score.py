"""The command `recap score`."""

import argparse
from typing import Any

from recap.cli.numbers import LARGEST_SEED, whole
from recap.errors import InputError


def add_commands(subparsers: Any) -> None:
    """Add `score` to the commands."""
    score = subparsers.add_parser("score", help="score captions of one or more captioners against people's")
    score.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="captions of each captioner, then people's: JSON, JSON lines, CSV or text, see docs/scoring.md",
    )
    score.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    score.add_argument(
        "--tokenizer",
        choices=("ptb", "stanford", "whitespace"),
        default="ptb",
        help="ptb: COCO's, in Python (default); stanford: it in Java; whitespace: captions are tokenized",
    )
    score.add_argument("--training", metavar="FILE", help="captions that a novel caption is not among")
    score.add_argument(
        "--subset", action="store_true", help="leave out images that have no caption to score, do not refuse"
    )
    score.add_argument(
        "--idf", metavar="FILE", help="captions that CIDEr-D's idf comes from, or coco2014-val; else people's"
    )
    score.add_argument(
        "--format",
        choices=("text", "markdown", "latex", "csv"),
        default="text",
        help="of the table (default text)",
    )
    score.add_argument(
        "--meteor", action=argparse.BooleanOptionalAction, default=True, help="METEOR too (default)"
    )
    for name in ("images", "captions", "references"):
        score.add_argument(
            f"--clip-{name}",
            metavar="FILE",
            help=f"for CLIPScore: .npz with CLIP's embeddings of {name} by image",
        )
    score.add_argument(
        "--resamples", type=whole(1, 1_000_000), default=1000, help="of the 95 %% intervals (default 1000)"
    )
    score.add_argument("--seed", type=whole(0, LARGEST_SEED), default=0, help="draws them (default 0)")
    score.set_defaults(run=_score)


def _score(options: argparse.Namespace) -> None:
    import json

    from recap.metrics.files.comparison_tables import format_scores
    from recap.metrics.files.score_files import score_files

    *results, references = options.files
    if not results:
        raise InputError("recap score: expected a file of captions and one of people's, received one file")
    clip = [options.clip_images, options.clip_captions, options.clip_references]
    embeddings = list(filter(None, clip))
    if embeddings and not all(clip[:2]):
        raise InputError("recap score: expected --clip-images and --clip-captions together, received one")
    summary = score_files(
        results,
        references,
        training=options.training,
        tokenizer_name=options.tokenizer,
        with_meteor=options.meteor,
        resamples=options.resamples,
        seed=options.seed,
        subset=options.subset,
        idf=options.idf,
        embeddings=embeddings,
    )
    if options.json:
        print(json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        print(format_scores(summary, options.format))

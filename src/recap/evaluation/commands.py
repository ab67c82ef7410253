"""The command `recap score`."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(subparsers: Any) -> None:
    """Add `score` to the commands.

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
    score.add_argument("--seed", type=int, default=0, help="draws them (default 0)")
    score.set_defaults(run=_score)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected 1 to 1000000, received {count}")
    return count


def _score(options: argparse.Namespace) -> None:
    import json

    from recap.evaluation.score_files import format_table, score_files

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

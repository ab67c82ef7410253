"""Scores COCO results files against COCO-format captions, and says it in a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recap.errors import InputError
from recap.metrics.config import TokenizerName
from recap.metrics.java import has_java, meteor
from recap.metrics.resampling import paired_difference
from recap.metrics.scores import score_captions
from recap.metrics.summary import summarize
from recap.metrics.tokenization.by_name import tokenize_groups, tokenizer
from recap.text.coco_files import read_references, read_results

ROWS = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
    "constant_cider_d": "  best constant caption",
    "human_cider_d": "  people, leave one out",
    "length": "words a caption",
    "vocabulary": "different words",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "novel": "novel captions",
}
"""What the table shows: the key of a metric and its name."""


def score_files(
    results: Path,
    references: Path,
    *,
    against: Path | None,
    training: Path | None,
    tokenizer_name: TokenizerName,
    with_meteor: bool,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Score a results file.

    Args:
        results: COCO results, one caption an image.
        references: captions of people in COCO format.
        against: results of another captioner to compare with on the same images, or None.
        training: captions in COCO format that a novel caption is not among, or None.
        tokenizer_name: of ``recap.metrics.tokenization.by_name``.
        with_meteor: whether to run METEOR; without Java it is left out all the same.
        resamples: of the bootstrap and of the paired test.
        seed: draws them.

    Returns:
        What ``summarize`` says of the captions, with ``tokenizer``, ``meteor`` (a number, or None beside
        ``meteor_left_out``), a note where CIDEr-D means nothing, and ``difference`` to the other results.

    Raises:
        InputError: a file is not what it should be, or the tokenizer needs Java and there is none.
    """
    originals = read_references(references, leave_out=True)
    own = read_results(results, originals.image_ids, originals.uncaptioned)
    other = read_results(against, originals.image_ids, originals.uncaptioned) if against else None
    known = None
    if training:
        of_images = read_references(training, leave_out=True).captions
        known = [caption for image in of_images for caption in image]
    tokenize = tokenizer(tokenizer_name)
    captions = tokenize(own)
    people = tokenize_groups(tokenize, originals.captions)
    scores = score_captions(captions, people)
    summary = summarize(
        captions,
        people,
        scores,
        further={},
        training_captions=None if known is None else tokenize(known),
        resamples=resamples,
        generator=np.random.default_rng(seed),
    )
    summary["tokenizer"] = tokenizer_name
    summary["images_without_captions"] = len(originals.uncaptioned)
    if len(people) == 1:
        summary["note"] = "CIDEr-D is 0: with one image every n-gram is in all images, so its idf is 0"
    summary["meteor"] = None
    if not with_meteor:
        summary["meteor_left_out"] = "not asked for"
    elif not has_java():
        summary["meteor_left_out"] = "METEOR needs Java, and there is none on PATH"
    else:
        try:
            summary["meteor"] = meteor(captions, people)[0]
        except InputError as error:
            summary["meteor_left_out"] = str(error)
    if other is not None:
        other_scores = score_captions(tokenize(other), people)
        difference = paired_difference(
            scores.cider_d, other_scores.cider_d, resamples, np.random.default_rng(seed)
        )
        summary["difference"] = {"metric": "cider_d", **vars(difference)}
    return summary


def format_table(summary: Mapping[str, Any]) -> str:
    """The scores of ``score_files`` as lines of text."""
    lines = [f"{'':<24}  score   95 % interval"]
    for key, name in ROWS.items():
        value = summary.get(key)
        if value is None:
            if key == "meteor":
                lines.append(f"{name:<24}  left out: {summary['meteor_left_out']}")
            continue
        bounds = summary["interval"].get(key)
        spread = f"   {bounds['low']:.4f} .. {bounds['high']:.4f}" if bounds else ""
        number = f"{value:d}" if isinstance(value, int) else f"{value:.4f}"
        lines.append(f"{name:<24}  {number:>6}{spread}")
    lines.append(f"best constant caption: {summary['constant_caption']!r}")
    lines.append(
        f"{summary['images']} images, {summary['references']} references; idf of CIDEr-D (COCO's CIDEr): "
        f"{summary['idf']}; tokenizer {summary['tokenizer']}"
    )
    if summary["images_without_captions"]:
        lines.append(f"left out, without captions: {summary['images_without_captions']} images")
    if "note" in summary:
        lines.append(summary["note"])
    if "difference" in summary:
        difference = summary["difference"]
        lines.append(
            f"CIDEr-D minus the other's: {difference['mean']:+.4f} ({difference['low']:+.4f} .. "
            f"{difference['high']:+.4f}), p = {difference['p_value']:.4f} (paired sign-flip test)"
        )
    return "\n".join(lines)

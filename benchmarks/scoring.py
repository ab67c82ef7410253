"""Scoring at COCO's size: captions to BLEU, ROUGE-L and CIDEr-D, tokenization included.

The baseline is pycocoevalcap as its own evaluation runs it, with Stanford's tokenizer in Java. Both score
the same captions in the same run: those of COCO val2017 from ../shared, again and again up to the size asked
for; each image's caption is one of its references without the last word.

    python benchmarks/scoring.py [IMAGES]
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from recap.metrics.java import has_java
from recap.metrics.scores import score_captions
from recap.metrics.tokenization.by_name import tokenize_groups
from recap.metrics.tokenization.treebank import tokenize

IMAGES = 40_504
REFERENCES_AN_IMAGE = 5
SOURCE = Path(__file__).resolve().parents[2] / "shared" / "scoring" / "captions_val2017.json"


def main() -> None:
    if not SOURCE.is_file() or not has_java():
        print(f"left out: needs {SOURCE.name} in ../shared/scoring, and Java for the baseline")
        return
    captions, references = load(int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
    print(f"{len(captions)} captions against {sum(map(len, references))} references")
    ours, seconds = timed(lambda: score(captions, references))
    official, official_seconds = timed(lambda: score_officially(captions, references))
    difference = max(abs(ours[name] - official[name]) for name in official)
    ours_tokens, tokens_seconds = timed(lambda: tokenize(caption for own in references for caption in own))
    print(f"recap / pycocoevalcap with Java: {seconds / official_seconds:.2f} of the time (at most 1)")
    print(f"tokenization: {tokens_seconds / seconds:.3f} of recap's time, {len(ours_tokens)} references")
    print(f"largest difference of a score: {difference:.1e} (at most 1e-6)")
    if difference > 1e-6:
        sys.exit(1)


def load(images: int) -> tuple[list[str], list[list[str]]]:
    """One caption and five references for each image."""
    own: dict[int, list[str]] = {}
    for annotation in json.loads(SOURCE.read_text(encoding="utf-8"))["annotations"]:
        own.setdefault(annotation["image_id"], []).append(annotation["caption"])
    groups = [captions[:REFERENCES_AN_IMAGE] for captions in own.values()]
    references = [groups[image % len(groups)] for image in range(images)]
    captions = [texts[image % len(texts)].rsplit(maxsplit=1)[0] for image, texts in enumerate(references)]
    return captions, references


def score(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    """The scores of recap."""
    return score_captions(tokenize(captions), tokenize_groups(tokenize, references)).metrics()


def score_officially(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    """The scores of pycocoevalcap, by the steps of its own evaluation."""
    originals = {image: [{"caption": text} for text in own] for image, own in enumerate(references)}
    candidates = {image: [{"caption": caption}] for image, caption in enumerate(captions)}
    with redirect_stdout(StringIO()):
        originals = PTBTokenizer().tokenize(originals)
        candidates = PTBTokenizer().tokenize(candidates)
        bleu = Bleu(4).compute_score(originals, candidates)[0]
        rouge = Rouge().compute_score(originals, candidates)[0]
        cider = Cider().compute_score(originals, candidates)[0]
    scores = {f"bleu_{order}": value for order, value in enumerate(bleu, start=1)}
    return scores | {"rouge_l": rouge, "cider_d": cider}


def timed(compute: Callable[[], Any]) -> tuple[Any, float]:
    """What it computes, and the seconds that it took."""
    start = time.perf_counter()
    result = compute()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()

"""Scoring captions: set-up, time to the first score, time for many, and what differs from the official code.

The baseline is pycocoevalcap as its own evaluation runs it: Stanford's tokenizer, METEOR in Java. Both
score the same captions in the same run: those of COCO val2017 from ../shared, again and again up to the sizes
asked for; each image's caption is one of its references without the last word. A table in Markdown comes out.

    python benchmarks/scoring.py [IMAGES ...]
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from importlib.metadata import files
from io import StringIO
from pathlib import Path
from typing import Any

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from recap.metrics.files.tables import format_rows
from recap.metrics.java import has_java
from recap.metrics.scoring import Scorer

SIZES = (5_000, 40_504)
REFERENCES_AN_IMAGE = 5
ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT.parent / "shared" / "scoring" / "captions_val2017.json"
PACKAGES = ("numpy", "pycocoevalcap", "pycocotools", "tqdm")
FIRST = (
    "from recap.metrics.scoring import score; score(['a cat'], [['a cat sits']])",
    "from benchmarks.scoring import score_officially as s; s(['a cat'], [['a cat sits']])",
)
LARGEST = 1e-9

Scores = dict[str, list[float]]
"""The score of the set by metric, and behind it those of the images where there are."""
Score = Callable[[list[str], list[list[str]]], Scores]


def main() -> None:
    if not SOURCE.is_file() or not has_java():
        print(f"left out: needs {SOURCE.name} in ../shared/scoring, and Java for the baseline")
        return
    packages = sum(map(size_of, PACKAGES)) / 1e6
    java = Path(shutil.which("java") or "").resolve().parents[1]
    runtime = sum(path.stat().st_size for path in java.rglob("*") if path.is_file()) / 1e6
    sides: dict[str, Score] = {"recap": score, "pycocoevalcap": score_officially}
    rows = [["", *sides], ["packages", *[f"{packages:.0f} MB"] * 2], ["Java", "none", f"{runtime:.0f} MB"]]
    rows.append(["first score"])
    for code in FIRST:
        command = [sys.executable, "-c", code]
        run = partial(subprocess.run, command, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
        rows[-1].append(timed(run)[1])
    worst = 0.0
    for size in [int(argument) for argument in sys.argv[1:]] or SIZES:
        captions, references = load(size)
        found = {name: timed(partial(side, captions, references)) for name, side in sides.items()}
        rows.append([f"{size} images", *(seconds for _, seconds in found.values())])
        ours, official = (values for values, _ in found.values())
        for name, values in official.items():
            difference = max(abs(own - other) for own, other in zip(ours[name], values, strict=True))
            worst = max(worst, difference)
            rows.append([f"largest difference of {len(values)} {name}", f"{difference:.1e}", ""])
        print(format_rows(rows, "markdown"), flush=True)
    if worst > LARGEST:
        sys.exit(1)


def size_of(package: str) -> int:
    """The bytes of an installed package."""
    paths = [Path(str(file.locate())) for file in files(package) or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def load(images: int) -> tuple[list[str], list[list[str]]]:
    """One caption and five references for each image."""
    own: dict[int, list[str]] = {}
    for annotation in json.loads(SOURCE.read_text(encoding="utf-8"))["annotations"]:
        own.setdefault(annotation["image_id"], []).append(annotation["caption"])
    groups = [captions[:REFERENCES_AN_IMAGE] for captions in own.values()]
    references = [groups[image % len(groups)] for image in range(images)]
    captions = [texts[image % len(texts)].rsplit(maxsplit=1)[0] for image, texts in enumerate(references)]
    return captions, references


def score(captions: list[str], references: list[list[str]]) -> Scores:
    """The scores of recap."""
    scorer = Scorer()
    scorer.add(captions, references)
    images = scorer.images()
    return {name: [total, *images.get(name, ())] for name, total in scorer.compute().items()}


def score_officially(captions: list[str], references: list[list[str]]) -> Scores:
    """The scores of pycocoevalcap, by the steps of its own evaluation."""
    originals = {image: [{"caption": text} for text in own] for image, own in enumerate(references)}
    candidates = {image: [{"caption": caption}] for image, caption in enumerate(captions)}
    with redirect_stdout(StringIO()):
        originals = PTBTokenizer().tokenize(originals)
        candidates = PTBTokenizer().tokenize(candidates)
        bleu = Bleu(4).compute_score(originals, candidates)[0]
        others = {"meteor": Meteor(), "rouge_l": Rouge(), "cider_d": Cider()}
        found = {name: scorer.compute_score(originals, candidates) for name, scorer in others.items()}
    scores = {f"bleu_{order}": [value] for order, value in enumerate(bleu, start=1)}
    return scores | {name: [total, *images] for name, (total, images) in found.items()}


def timed(compute: Callable[[], Any]) -> tuple[Any, str]:
    """What it computes, and the seconds that it took, on the clock and of processors, with its processes."""
    start, used = time.perf_counter(), sum(os.times()[:4])
    result = compute()
    return result, f"{time.perf_counter() - start:.1f} s ({sum(os.times()[:4]) - used:.1f} s of processors)"


if __name__ == "__main__":
    main()

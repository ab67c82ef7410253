"""Asks METEOR's jar about the captions of golden.json and writes its answers there.

Run it as ``python -m tests.metrics.meteor.make_golden`` where there is Java.
"""

import json
import re
import tempfile
from pathlib import Path

from platformdirs import user_cache_path
from tests.metrics.meteor.jar import ask, run

from recap.metrics.meteor.matching import Matcher
from recap.metrics.meteor.tables import PARAPHRASES, load_tables

GOLDEN = Path(__file__).with_name("golden.json")


def alignments(pairs: list[tuple[str, str]], beam: int) -> list[list[list[int]]]:
    """Places in caption and reference of the words that the jar matches, where only equal words match."""
    with tempfile.TemporaryDirectory() as folder:
        for name, texts in zip(("captions", "references"), zip(*pairs, strict=True), strict=True):
            Path(folder, name).write_text("".join(f"{text}\n" for text in texts))
        arguments = [f"{folder}/captions", f"{folder}/references", "-l", "en", "-m", "exact", "-x", str(beam)]
        run([*arguments, "-writeAlignments", "-f", f"{folder}/out", "-q"], "")
        blocks = Path(f"{folder}/out-align.out").read_text().split("Alignment\t")[1:]
    rows = [re.findall(r"^(\d+):1\t+(\d+):1\t", block, flags=re.MULTILINE) for block in blocks]
    return [sorted([int(place), int(other)] for other, place in row) for row in rows]


def listed_pairs(texts: list[str]) -> list[tuple[str, str]]:
    """The paraphrases among phrases of the texts, in the order of the table."""
    import gzip

    matcher = Matcher(load_tables(user_cache_path("recap")))
    phrases = {
        " ".join(sentence.words[start : start + length])
        for sentence in matcher.prepare(texts)
        for start, length, _ in sentence.phrases
    }
    with gzip.open(PARAPHRASES, "rt", encoding="utf-8", newline="\n") as lines:
        pairs = ((first[:-1], second[:-1]) for _, first, second in zip(lines, lines, lines, strict=True))
        return [pair for pair in pairs if pair[0] in phrases and pair[1] in phrases]


def main() -> None:
    """Write all of golden.json anew."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    rows = golden["captions"]
    counts, scores, golden["total"] = ask([(row["caption"], row["references"]) for row in rows])
    for row, own, score in zip(rows, counts, scores, strict=True):
        row["counts"], row["score"] = own, score
    golden["paraphrases"] = listed_pairs(
        [text for row in rows for text in (row["caption"], *row["references"])]
    )
    for beam in (1, 2, 5, 40):
        pairs = [(row["caption"], row["reference"]) for row in golden["alignments"]]
        for row, answer in zip(golden["alignments"], alignments(pairs, beam), strict=True):
            row[str(beam)] = answer
    lines = [
        f"{json.dumps(key)}: [\n{_lines(golden[key])}\n]" for key in ("captions", "paraphrases", "alignments")
    ]
    text = ",\n".join([*lines, f'"total": {golden["total"]!r}'])
    GOLDEN.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def _lines(entries: list[object]) -> str:
    return ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)


if __name__ == "__main__":
    main()

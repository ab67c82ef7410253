"""METEOR against its jar on COCO's validation captions of 2014, each against the others of its image.

    python -m benchmarks.meteor [FIRST [LAST]]
    python -m benchmarks.meteor hard [COUNT [SEED]]

The first takes the captions from place FIRST to before LAST, of 202,654; the second makes COUNT out of
them, 20,000 by default: shuffled, repeated and inflected, with paraphrases and odd signs. Both print how many
scores differ.
"""

import gzip
import random
import sys
import time
from collections.abc import Sequence
from itertools import islice

from tests.metrics.meteor.jar import ask

from recap.metrics.files.score_files import COCO_2014_VALIDATION, corpus
from recap.metrics.meteor.scoring import count_captions, score_statistics
from recap.metrics.meteor.tables import PARAPHRASES
from recap.metrics.tokenization.by_name import tokenize_groups, tokenizer

AT_ONCE = 20_000
LARGEST = 1e-9
EVERY_PARAPHRASE = 3_000
ENDINGS = ("s", "es", "'s", "ed", "ing", "er", "est", "ly", "ness", "ation", "able", "ful", "ies's")
ODD = (
    *("-", "--", "–", "—", "'", "''", '"', "“x”", "`", ".", "..", "...", "a.b.", "u.s.", "No. 5", "Mr."),
    *("1,000", "1,a", "a,1", "3.14", "5.", ".5", "x-y-z", "-x", "x-", "o'clock", "rock'n'roll", "90's"),
    *("é", "É", "ß", "İ", "日本", "дом", "😀", "a\u00a0b", "\u3000", "&amp;", "<b>", "$5", "½", "|", "||"),
)


def main() -> None:
    hard = sys.argv[1:2] == ["hard"]
    numbers = [int(argument) for argument in sys.argv[1 + hard : 3 + hard]]
    groups = tokenize_groups(tokenizer("ptb"), corpus(COCO_2014_VALIDATION))
    pairs = [
        (caption, own[:place] + own[place + 1 :])
        for own in groups
        for place, caption in enumerate(own)
        if len(own) > 1
    ]
    if hard:
        count, seed = numbers + [20_000, 0][len(numbers) :]
        pairs = harder(pairs, count, random.Random(seed))
        first, last = 0, count
    else:
        first, last = numbers + [0, len(pairs)][len(numbers) :]
    different, largest, own_seconds, jar_seconds = 0, 0.0, 0.0, 0.0
    for start in range(first, min(last, len(pairs)), AT_ONCE):
        block = pairs[start : min(start + AT_ONCE, last)]
        begun = time.perf_counter()
        captions, references = zip(*block, strict=True)
        ours = [score_statistics(own) for own in count_captions(captions, references)]
        between = time.perf_counter()
        theirs = ask(block)[1]
        own_seconds += between - begun
        jar_seconds += time.perf_counter() - between
        differences = [abs(own - other) for own, other in zip(ours, theirs, strict=True)]
        different += sum(difference > LARGEST for difference in differences)
        largest = max(largest, *differences)
        print(
            f"captions {first} to {start + len(block)} of {len(pairs)}: {different} differ by more "
            f"than {LARGEST}, largest difference {largest:.1e}; "
            f"ours {own_seconds:.0f} s, the jar {jar_seconds:.0f} s",
            flush=True,
        )
    if different:
        sys.exit(1)


def harder(
    pairs: Sequence[tuple[str, list[str]]], count: int, draw: random.Random
) -> list[tuple[str, list[str]]]:
    """Captions and references, both made hard."""
    with gzip.open(PARAPHRASES, "rt", encoding="utf-8", newline="\n") as lines:
        listed = list(islice(zip(lines, lines, lines, strict=True), 0, None, EVERY_PARAPHRASE))
    phrases = [(first.strip(), second.strip()) for _, first, second in listed]
    made = []
    for _ in range(count):
        caption, references = draw.choice(pairs)
        said = draw.sample(phrases, 3) if draw.random() < 0.5 else []
        odd = draw.choices(ODD, k=draw.choice([0, 0, 3]))
        own = harden(caption, [first for first, _ in said], odd, draw)
        made.append((own, [harden(text, [other for _, other in said], odd, draw) for text in references]))
    return made


def harden(text: str, phrases: Sequence[str], odd: Sequence[str], draw: random.Random) -> str:
    """A caption, shuffled, repeated and inflected by chance, with phrases and signs at chance's places."""
    words = text.split(" ")
    if draw.random() < 0.3:
        draw.shuffle(words)
    if draw.random() < 0.2:
        words = words * draw.randint(2, 4)
    words = [word + draw.choice(ENDINGS) if draw.random() < 0.15 else word for word in words]
    for piece in (*phrases, *odd):
        words.insert(draw.randint(0, len(words)), piece)
    return " ".join(words)


if __name__ == "__main__":
    main()

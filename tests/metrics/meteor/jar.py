"""METEOR's jar, which ours is compared with where there is Java."""

import subprocess
from collections.abc import Sequence

from recap.metrics.meteor.tables import FOLDER

LOCALE = ("-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US")
"""It reads and writes numbers as the locale has them."""


def run(arguments: Sequence[str], text: str) -> list[str]:
    """The lines that the jar says to a text."""
    command = ["java", "-Xmx2G", *LOCALE, "-jar", "meteor-1.5.jar", *arguments]
    done = subprocess.run(command, cwd=FOLDER, input=text, capture_output=True, check=True, encoding="utf-8")
    return done.stdout.splitlines()


def ask(pairs: Sequence[tuple[str, Sequence[str]]]) -> tuple[list[list[float]], list[float], float]:
    """The jar's counts and score of each caption with its references, and the score of all."""
    arguments = ["-", "-", "-stdio", "-l", "en", "-norm"]
    questions = [" ||| ".join(["SCORE", *references, caption]) for caption, references in pairs]
    counts = run(arguments, "".join(f"{question}\n" for question in questions))
    *scores, total = map(float, run(arguments, " ||| ".join(["EVAL", *counts]) + "\n"))
    return [[float(count) for count in row.split()] for row in counts], scores, total

"""What the official scoring does in Java: Stanford's tokenizer and METEOR, both in pycocoevalcap's jars."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import pycocoevalcap

from recap.errors import InputError
from recap.metrics.tokenization.treebank import LINE_ENDS, PUNCTUATION

PACKAGE = Path(pycocoevalcap.__path__[0])
METEOR_MEMORY = "-Xmx2G"
LOCALE = ("-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US")
"""METEOR reads and writes numbers as the locale has them."""
ERROR_BYTES = 4096


def has_java() -> bool:
    """Return whether a Java runtime is on PATH."""
    return shutil.which("java") is not None


def tokenize_with_stanford(captions: Iterable[str]) -> list[str]:
    """Tokenize as ``recap.metrics.tokenization.treebank.tokenize`` does, with the original in Java.

    Raises:
        InputError: there is no Java, or it fails.
    """
    if not has_java():
        raise InputError(
            "tokenizer: expected Java on PATH for 'stanford', received none; 'ptb' needs no Java"
        )
    lines = [LINE_ENDS.sub(" ", caption) for caption in captions]
    jar = PACKAGE / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    command = ["java", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    command += ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    text = "".join(f"{line}\n" for line in lines)
    try:
        done = subprocess.run(command, input=text.encode("utf-8", "replace"), capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        raise InputError(f"tokenizer: expected Java to run for 'stanford', received: {_line(said)}") from None
    output = done.stdout.decode()
    return [
        " ".join(word for word in line.rstrip().split(" ") if word and word not in PUNCTUATION)
        for line in output.split("\n")[: len(lines)]
    ]


def meteor(captions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
    """METEOR 1.5 (Denkowski and Lavie 2014) as COCO's official code runs it.

    Args:
        captions: N tokenized captions.
        references: tokenized captions of people for each of the N images.

    Returns:
        The score of the set, and one an image.

    Raises:
        InputError: Java does not start, or stops.
    """
    command = ["java", METEOR_MEMORY, *LOCALE, "-jar", "meteor-1.5.jar"]
    command += ["-", "-", "-stdio", "-l", "en", "-norm"]
    with tempfile.TemporaryFile() as errors:
        try:
            return _meteor(command, errors, captions, references)
        except (OSError, ValueError) as error:
            errors.seek(0)
            said = errors.read(ERROR_BYTES) or str(error).encode()
            raise InputError(f"METEOR's Java failed: {_line(said)}") from None


def _line(said: bytes) -> str:
    return next(iter(said.decode("utf-8", "replace").strip().splitlines()), "no word")


def _meteor(
    command: Sequence[str], errors: IO[bytes], captions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[float, list[float]]:
    with subprocess.Popen(
        command,
        cwd=PACKAGE / "meteor",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        statistics = []
        for caption, own in zip(captions, references, strict=True):
            fields = [text.replace("|||", "").replace("  ", " ") for text in [*own, caption]]
            process.stdin.write(" ||| ".join(["SCORE", *fields]) + "\n")
            process.stdin.flush()
            statistics.append(process.stdout.readline().strip())
        process.stdin.write(" ||| ".join(["EVAL", *statistics]) + "\n")
        process.stdin.flush()
        scores = [float(process.stdout.readline()) for _ in captions]
        total = float(process.stdout.readline())
        process.stdin.close()
    return total, scores

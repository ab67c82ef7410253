"""The official tokenizer, Stanford's, which is in Java: a jar of pycocoevalcap."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pycocoevalcap

from recap.errors import InputError
from recap.metrics.tokenization.treebank import LINE_ENDS, PUNCTUATION

PACKAGE = Path(pycocoevalcap.__path__[0])


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
        line = next(iter(said.decode("utf-8", "replace").strip().splitlines()), "no word")
        raise InputError(f"tokenizer: expected Java to run for 'stanford', received: {line}") from None
    output = done.stdout.decode()
    return [
        " ".join(word for word in line.rstrip().split(" ") if word and word not in PUNCTUATION)
        for line in output.split("\n")[: len(lines)]
    ]

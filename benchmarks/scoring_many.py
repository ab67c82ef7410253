"""What `recap score` takes of time and memory for many references, five an image, with METEOR and without.

The captions are halves of COCO's of 2014, put together at random: there are ever more different n-grams.

    python benchmarks/scoring_many.py [REFERENCES ...]
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from recap.metrics.files.score_files import COCO_2014_VALIDATION, corpus
from recap.metrics.files.tables import format_rows

SIZES = (200_000, 1_000_000)
SCRIPT = """
import pathlib, sys, time
from recap.cli.main import main
code = main(["score", *sys.argv[1:]])
status = pathlib.Path("/proc/self/status").read_text()
peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
print(time.process_time(), int(peak) / 1024)
sys.exit(code)
"""


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or SIZES
    words = [caption.split() for own in corpus(COCO_2014_VALIDATION) for caption in own]
    rows = [["references", "file", "METEOR", "seconds of a processor", "peak memory", "lines of progress"]]
    with tempfile.TemporaryDirectory() as folder:
        captions, references = Path(folder, "captions.json"), Path(folder, "references.json")
        for size in sizes:
            draw = random.Random(0)
            made = [_joined(draw.choice(words), draw.choice(words)) for _ in range(size)]
            captions.write_text(json.dumps({place: made[place * 5 - 1] for place in range(size // 5)}))
            own = {place: made[place * 5 : place * 5 + 5] for place in range(size // 5)}
            references.write_text(json.dumps(own))
            for with_meteor in (False, True):
                options = [] if with_meteor else ["--no-meteor"]
                command = [sys.executable, "-c", SCRIPT, *options, str(captions), str(references)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seconds, mebibytes = map(float, done.stdout.split()[-2:])
                length = references.stat().st_size / 2**20
                told = len(done.stderr.splitlines())
                cells = [f"{size:,}", f"{length:.0f} MiB", "yes" if with_meteor else "no"]
                rows.append([*cells, f"{seconds:.0f} s", f"{mebibytes:.0f} MiB", str(told)])
                print(format_rows(rows, "markdown"), flush=True)


def _joined(first: list[str], second: list[str]) -> str:
    return " ".join(first[: len(first) // 2] + second[len(second) // 2 :])


if __name__ == "__main__":
    main()

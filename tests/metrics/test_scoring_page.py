"""What docs/scoring.md shows runs as it stands there, and scoring alone needs no more than it says."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import files
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from recap.cli.main import main
from recap.metrics.meteor.paraphrases import Paraphrases

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scoring.md").read_text(encoding="utf-8")
PEOPLE = {"7": ["A cat on a mat.", "The cat sits."], "b.jpg": ["Two dogs running.", "Dogs, on grass."]}
SAID = {
    "RESULTS": {"7": "A cat sits on a mat.", "b.jpg": "Two dogs run."},
    "A": {"7": "A cat.", "b.jpg": "Dogs run."},
    "B": {"7": "The cat sits on it.", "b.jpg": "Grass."},
    "C": {"7": ["A mat.", "A cat on a mat."], "b.jpg": "Two dogs."},
}
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith("recap score")
] + [" ".join(command.split()) for command in re.findall(r"`(recap score [^`]*\.json[^`]*)`", PAGE)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the page names, and a part of METEOR's table."""
    table = Paraphrases.of_pairs([("bus", "coach")])
    monkeypatch.setattr("recap.metrics.meteor.tables.paraphrases.load", lambda source, cache: table)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, own in SAID.items():
        Path(f"{name}.json").write_text(json.dumps(own))
    Path("REFERENCES.json").write_text(json.dumps(PEOPLE))
    draw = np.random.default_rng(0)
    for name, rows in (("I", ()), ("C", ()), ("R", (2,))):
        np.savez(f"{name}.npz", **{image: draw.normal(size=(*rows, 8)) for image in PEOPLE})
    return tmp_path


def run(capsys, *arguments):
    code = main(["score", *arguments])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(folder, capsys, command):
    said = run(capsys, *shlex.split(command)[2:])
    wanted = ["BLEU-1", "METEOR", "ROUGE-L", "CIDEr-D"] + ["RefCLIPScore"] * ("--clip" in command)
    assert all(name in said for name in wanted)


def test_the_page_has_its_commands():
    assert len(COMMANDS) == 3
    assert {"--idf", "--subset", "--format", "--json", "--clip-references"} <= set(
        re.findall("--[a-z-]+", PAGE)
    )


@pytest.mark.parametrize("style", ["text", "markdown", "latex", "csv"])
def test_every_form_of_table_holds_every_system_and_metric(folder, capsys, style):
    said = run(capsys, "A.json", "B.json", "C.json", "REFERENCES.json", "--format", style)
    names = ["A", "B", "C", *(["meteor", "bleu_4"] if style == "csv" else ["METEOR", "BLEU-4", "p(Holm)"])]
    assert all(name in said for name in names)
    alone = run(capsys, "RESULTS.json", "REFERENCES.json", "--format", style)
    marks = {"text": "BLEU-4  ", "markdown": "| BLEU-4 | ", "latex": "BLEU-4 & ", "csv": "BLEU-4,"}
    assert marks[style] in alone


def rows_of(captions, key, word):
    return [{key: image, word: text} for image, own in captions.items() for text in own]


def forms(captions):
    """File names and contents of one set of captions in every form that the page's table lists."""
    images = [{"id": image} for image in captions]
    yield "a.json", json.dumps({"images": images, "annotations": rows_of(captions, "image_id", "caption")})
    yield "b.json", json.dumps(rows_of(captions, "image_id", "caption"))
    yield "c.json", json.dumps({image: own[0] if len(own) == 1 else own for image, own in captions.items()})
    yield "d.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows_of(captions, "image_id", "caption"))
    yield (
        "e.jsonl",
        "\n".join(json.dumps({"image_id": name, "captions": own}) for name, own in captions.items()),
    )
    headers = ("image_id", "image", "image_name", "file_name", "id")
    for number, (word, sign) in enumerate(product(("caption", "comment"), ",\t;|")):
        key = headers[number % len(headers)]
        lines = [[key, word], *([image, f'"{text}"'] for image, own in captions.items() for text in own)]
        yield f"{number}.{'tsv' if sign == chr(9) else 'csv'}", "\n".join(map(sign.join, lines))


def test_every_form_of_file_gives_the_same_scores(folder, capsys):
    expected = run(capsys, "RESULTS.json", "REFERENCES.json", "--json", "--no-meteor", "--resamples", "1")
    results = {image: [caption] for image, caption in SAID["RESULTS"].items()}
    for (name, own), (other, people) in zip(forms(results), forms(PEOPLE), strict=True):
        Path(f"said-{name}").write_text(own)
        Path(f"people-{other}").write_text(people)
        options = ["--json", "--no-meteor", "--resamples", "1"]
        assert run(capsys, f"said-{name}", f"people-{other}", *options) == expected, name
    for number in (1, 2):
        Path(f"ref{number}.txt").write_text("\n".join(own[number - 1] for own in PEOPLE.values()))
    Path("said.txt").write_text("\n".join(SAID["RESULTS"].values()))
    assert run(capsys, "said.txt", "ref1.txt,ref2.txt", *options) == expected


ALONE = """
import sys, time
start = time.process_time()
from recap.metrics.scoring import METRICS, score
chosen = [name for name in METRICS if name != "meteor"]
print(score(["a cat"], [["a cat"], ], chosen if sys.argv[1] == "part" else METRICS))
print(time.process_time() - start)
from recap.cli.main import main
open("a.txt", "w").write("a cat\\na dog\\n")
sys.exit(main(["score", "a.txt", "a.txt", *(["--no-meteor"] if sys.argv[1] == "part" else [])]))
"""


@pytest.fixture
def alone(tmp_path):
    """The packages that the page installs: their folder, and their bytes beside the data."""
    (listed,) = re.findall(r"pip install --no-deps CLONE (.*)", PAGE)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "recap").symlink_to(ROOT / "src" / "recap")
    size = sum(path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file())
    data = Path("pycocoevalcap")
    for package in listed.split():
        for file in files(package) or ():
            path, place = Path(str(file.locate())), tmp_path / "packages" / file.parts[0]
            if file.parts[0] != ".." and not place.exists():
                place.symlink_to(path.parents[len(file.parts) - 2] if len(file.parts) > 1 else path)
            large = data in file.parents and file.suffix in (".jar", ".gz", ".json")
            size += 0 if large or not path.is_file() else path.stat().st_size
    return tmp_path / "packages", size


@pytest.mark.parametrize("what", ["part", pytest.param("all", marks=pytest.mark.slow)])
def test_scoring_alone_is_small_and_quick(alone, tmp_path, what):
    """With all scores the tables of METEOR are compiled before."""
    packages, size = alone
    assert size < 150e6
    environment = {**os.environ, "PYTHONPATH": str(packages), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-S", "-c", ALONE, what]
    for _ in range(2 if what == "all" else 1):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    scores, seconds, *table = done.stdout.splitlines()
    assert "'rouge_l': 1.0" in scores
    assert float(seconds) < 2
    assert any("BLEU-4" in line for line in table)

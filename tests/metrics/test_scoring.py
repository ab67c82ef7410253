"""The scores from Python, in one call or in parts, and what they need."""

import doctest
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recap.errors import InputError
from recap.metrics.meteor.paraphrases import Paraphrases
from recap.metrics.scores import score_captions
from recap.metrics.scoring import METRICS, Scorer, score
from recap.metrics.systems import compare_systems, holm, score_system

CAPTIONS = ["A cat sits on a mat.", "Two dogs run.", "A red bus."]
REFERENCES = [["A cat on a mat.", "The cat sits."], ["Two dogs running."], ["The bus is red.", "A red bus!"]]
WITHOUT_METEOR = [name for name in METRICS if name != "meteor"]


def test_one_call_gives_what_the_parts_give():
    whole = score(CAPTIONS, REFERENCES, WITHOUT_METEOR)
    scorer = Scorer(WITHOUT_METEOR)
    scorer.add(CAPTIONS[:1], REFERENCES[:1])
    scorer.add(CAPTIONS[1:], REFERENCES[1:])
    assert scorer.compute() == whole
    assert list(whole) == WITHOUT_METEOR
    images = scorer.images()
    assert {name: own.shape for name, own in images.items()} == {"rouge_l": (3,), "cider_d": (3,)}
    assert images["cider_d"].mean() == whole["cider_d"]
    tokenized = ["a cat sits on a mat", "two dogs run", "a red bus"]
    people = [["a cat on a mat", "the cat sits"], ["two dogs running"], ["the bus is red", "a red bus"]]
    assert whole == score_captions(tokenized, people).metrics()
    assert score(tokenized, people, WITHOUT_METEOR, tokenizer="whitespace") == whole


def test_the_examples_of_the_documentation(monkeypatch, tmp_path):
    table = Paraphrases.of_pairs([("bus", "coach")])  # of all of it the examples need nothing
    monkeypatch.setattr("recap.metrics.meteor.tables.paraphrases.load", lambda source, cache: table)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    said = io.StringIO()
    runner = doctest.DocTestRunner()
    runner.run(
        doctest.DocTestParser().get_doctest("".join(blocks), {}, "scoring.md", None, 0), out=said.write
    )
    assert runner.summarize(verbose=False).attempted > 10
    assert said.getvalue() == ""
    assert score(["A cat sits."], [["A cat is sitting.", "The cat sits."]], metrics=["rouge_l"]) == {
        "rouge_l": 0.6666666666666666
    }


@pytest.mark.parametrize(
    ("captions", "references", "metrics", "message"),
    [
        (["a"], [["a"], ["b"]], ["rouge_l"], "expected those of 1 images, received 2"),
        (["a"], [[]], ["rouge_l"], "received an image with none"),
        (["a"], ["a"], ["rouge_l"], "expected lists of captions, received text"),
        ("a", [["a"]], ["rouge_l"], "expected lists of captions, received text"),
        (["a"], [["a"]], ["cider"], "expected some of bleu_1, .* received .'cider'"),
        (["a"], [["a"]], [], "received none"),
        ([], [], ["rouge_l"], "expected at least one, received none"),
    ],
)
def test_bad_arguments_are_told(captions, references, metrics, message):
    with pytest.raises(InputError, match=message):
        score(captions, references, metrics)


def test_scoring_loads_little():
    """Neither what trains nor what tracks, nor the large libraries that an environment of its own lacks."""
    script = """
import sys
for name in ("torch", "dvc", "mlflow", "pandas", "scipy", "matplotlib", "sklearn", "h5py", "PIL", "pydantic"):
    sys.modules[name] = None  # an import of it fails
from recap.metrics.scoring import score
from recap.cli.main import main
print(score(["a cat"], [["a cat"], ], ["bleu_1", "rouge_l", "cider_d"]))
open("a.txt", "w").write("a cat\\na dog\\n")
sys.exit(main(["score", "--no-meteor", "a.txt", "a.txt"]))
"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'rouge_l': 1.0" in done.stdout
    assert "BLEU-4" in done.stdout


def test_holm_corrects_for_the_number_of_tests():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_a_worse_captioner_is_told_from_an_equal_one():
    generator = np.random.default_rng(3)
    words = [f"w{number}" for number in range(60)]
    references = [[" ".join(generator.choice(words, 8)) for _ in range(2)] for _ in range(60)]
    good = [[own[0].rsplit(" ", 3)[0]] for own in references]
    equal = [[own[1].rsplit(" ", 3)[0]] for own in references]
    bad = [[" ".join(generator.choice(words, 5))] for _ in references]
    systems = {
        name: score_system(own, references, with_meteor=False)
        for name, own in (("good", good), ("equal", equal), ("bad", bad))
    }
    found = {
        (own["metric"], own["first"], own["second"]): own
        for own in compare_systems(systems, 400, 0)["comparisons"]
    }
    for metric in ("bleu_1", "bleu_4", "rouge_l", "cider_d"):
        assert found[metric, "good", "bad"]["p_value"] == pytest.approx(1 / 401)
        assert found[metric, "good", "bad"]["p_holm"] == pytest.approx(3 / 401)
        assert found[metric, "good", "bad"]["low"] > 0
        assert found[metric, "good", "equal"]["p_value"] > 0.05

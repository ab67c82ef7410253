"""Scores of several runs: their mean and spread, which README shows, and the tests between decoders."""

import json
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from scipy.stats import permutation_test
from tests.imports import ROOT

from recap.errors import InputError
from recap.experiments.scores import Scores, format_scores, means, summarize
from recap.experiments.seeds import _with_ending, compare_seeds
from recap.metrics.systems import holm

GENERATOR = np.random.default_rng(7)
IMAGES = {
    run: {name: GENERATOR.normal(shift, 1.0, 12).tolist() for name, shift in (("rnn", 1.0), ("lstm", 1.6))}
    for run in ("seed-1", "seed-2", "seed-3")
}


def scores(run: str) -> Scores:
    own = IMAGES[run]
    metrics = {
        name: {"seen": {"cider_d": mean(own[name]), "constant_cider_d": 0.25}} for name in ("rnn", "lstm")
    }
    return Scores(run, metrics, {name: {"seen": {"cider_d": own[name]}} for name in ("rnn", "lstm")})


def test_means_spreads_and_tests_are_those_of_the_runs() -> None:
    summary = summarize([scores(run) for run in IMAGES])
    by_run = [mean(own["rnn"]) for own in IMAGES.values()]
    head, row = means(summary)
    assert head == ["", "RNN", "LSTM", "best constant caption"]
    assert row[1] == f"{mean(by_run):.2f} ± {stdev(by_run):.2f}"
    assert row[3] == "0.25"
    (pair,) = summary["tests"]
    differences = np.mean([np.subtract(own["rnn"], own["lstm"]) for own in IMAGES.values()], axis=0)
    exact = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert pair["mean"] == pytest.approx(differences.mean())
    assert pair["p_value"] == pytest.approx(exact.pvalue, abs=0.02)
    assert pair["p_holm"] == holm([pair["p_value"]])[0]
    each = [mean(own["rnn"]) - mean(own["lstm"]) for own in IMAGES.values()]
    assert pair["standard_error"] == pytest.approx(stdev(each) / 3**0.5)


def test_every_cell_names_its_runs() -> None:
    summary = summarize([scores(run) for run in IMAGES])
    for style in ("markdown", "latex", "text"):
        written = format_scores(summary, style)
        assert "the mean of the runs seed-1, seed-2, seed-3" in written
        for run, own in IMAGES.items():
            (line,) = [line for line in written.splitlines() if line.lstrip("| ").startswith(f"{run} ")]
            assert f"{mean(own['lstm']):.2f}" in line


def test_the_readme_shows_the_committed_scores() -> None:
    """To renew them: make seeds, then the first table of docs/seeds/seeds.md."""
    summary = json.loads((ROOT / "docs" / "seeds" / "seeds.json").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(place for place, line in enumerate(readme) if line.startswith("| "))
    head, *rows = means(summary)
    assert readme[start].endswith(f" | {' | '.join(head[1:])} |")
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in readme[start + 2 :][: len(rows)]
    ]
    assert shown == rows
    for ending, style in (("md", "markdown"), ("tex", "latex")):
        written = (ROOT / "docs" / "seeds" / f"seeds.{ending}").read_text(encoding="utf-8")
        assert written == format_scores(summary, style) + "\n"


@pytest.mark.parametrize(
    ("output", "expected"),
    [("docs/seeds", "docs/seeds.md"), ("a/v1.2", "a/v1.2.md"), ("a.json", "a.md"), ("a.tex", "a.md")],
)
def test_files_are_named_as_was_asked(output: str, expected: str) -> None:
    assert _with_ending(Path(output), "md") == Path(expected)


@pytest.mark.parametrize("output", [".", "docs"])
def test_a_folder_is_no_name_of_files_and_nothing_is_run(output: str) -> None:
    with pytest.raises(InputError, match="--output: expected the path of files without their ending"):
        next(compare_seeds(ROOT, 1, {}, ROOT / output if output == "docs" else Path(output)))

"""The scores under several seeds, where they are of this pipeline."""

from pathlib import Path
from typing import Any

import pytest

from recap.core.artifacts import write_json
from recap.report.config import ReportConfig
from recap.report.inputs import SEEDS, load_inputs
from recap.report.page import render_page

DECODERS = ("rnn", "lstm")
CIDER_D = {"rnn": [1.25, 1.75], "lstm": [2.25, 2.25]}


def write_seeds(root: Path, values: dict[str, list[float]]) -> None:
    """A comparison whose only score is CIDEr-D of the part "seen"."""
    test = {"part": "seen", "metric": "cider_d", "first": "rnn", "second": "lstm", "mean": -0.75}
    test |= {"low": -1.0, "high": -0.5, "p_value": 0.001, "p_holm": 0.04}
    runs = [f"seed-{place}" for place in range(len(values["rnn"]))]
    scores = {decoder: {"seen": {"cider_d": own}} for decoder, own in values.items()}
    write_json(root / SEEDS / "seeds.json", {"runs": runs, "values": scores, "tests": [test]})


def section(root: Path) -> str:
    page = render_page(load_inputs(root, DECODERS, {}, ReportConfig(gallery_images=2, seed=3)))
    return page.partition('id="scores"')[2].partition("</section>")[0]


def test_the_seeds_of_this_pipeline_stand_with_its_scores(outputs) -> None:
    root = outputs(decoders=DECODERS)
    write_seeds(root, CIDER_D)
    html = section(root)
    assert "1.500 ± 0.354" in html
    assert "2.250 ± 0.000" in html
    assert '<td class="best">−0.750</td><td>−1.000 to −0.500</td><td>0.040</td>' in html


@pytest.mark.parametrize(
    "values",
    [
        CIDER_D | {"rnn": [1.26, 1.75]},
        {"rnn": CIDER_D["rnn"]},
        CIDER_D | {"transformer": [3.25, 3.5]},
        {"rnn": [1.25], "lstm": [2.25]},
    ],
    ids=["other scores", "fewer decoders", "more decoders", "one seed"],
)
def test_other_seeds_leave_no_trace_in_the_scores(outputs, values: dict[str, Any]) -> None:
    root = outputs(decoders=DECODERS)
    before = section(root)
    assert "seeds" not in before
    write_seeds(root, values)
    assert section(root) == before
    (root / SEEDS / "seeds.json").unlink()
    assert section(root) == before

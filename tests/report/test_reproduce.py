"""The section that says what is promised, how to run it again and what to compare."""

import re
import shutil
from html import unescape
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from recap.core import paths
from recap.core.hashes import hash_list, hash_output
from recap.report.config import ReportConfig
from recap.report.inputs import load_inputs
from recap.report.page import render_page
from recap.report.promise import promise
from recap.report.sections.reproduce import STAGES

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ReportConfig(gallery_images=2, seed=3)
DECODERS = ("lstm", "rnn")


def pipeline() -> dict:
    """The stages of dvc.yaml."""
    return YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def section(root: Path, arithmetic: str = "portable", device: str = "cpu") -> str:
    """The section's HTML."""
    params = {"runtime": {"arithmetic": arithmetic, "threads": 2, "device": device}}
    page = render_page(load_inputs(root, DECODERS, params, CONFIG))
    return page.partition('id="reproduce"')[2].partition("</section>")[0]


def table(html: str) -> dict[str, str]:
    return dict(re.findall(r"<code>([^<]+)</code></th><td><code>([^<]+)</code>", html))


@pytest.mark.parametrize(
    ("arithmetic", "device"), [("portable", "cpu"), ("native", "cpu"), ("portable", "cuda")]
)
def test_the_promise_is_that_of_the_settings(outputs, arithmetic: str, device: str) -> None:
    html = section(outputs(decoders=DECODERS), arithmetic, device)
    assert promise({"arithmetic": arithmetic, "device": device}) in unescape(html)
    assert ("the same bytes on every x86-64" in html) == (arithmetic == "portable" and device == "cpu")


def test_outputs_stand_there_with_the_hashes_that_verify_computes(outputs) -> None:
    root = outputs(decoders=(*DECODERS, "transformer"))
    html = section(root)
    names = {name for name in pipeline()["report"]["deps"] if not name.startswith(("src/", "stages/"))}
    expected = {name: hash_output(root / name) for name in names}
    assert table(html) == expected, "exactly what dvc.lock records as dependencies, but for code"
    assert f"<code>{hash_list(expected)}</code>" in html
    assert str(root) not in html


def test_an_output_that_is_not_there_is_left_out_and_one_that_changes_shows(outputs) -> None:
    root = outputs(decoders=DECODERS)
    before = table(section(root))
    shutil.rmtree(root / paths.SANITY)
    (root / paths.MODELS / "rnn" / "more").write_text("more")
    after = table(section(root))
    assert before.keys() - after.keys() == {"reports/sanity"}
    assert {path for path in after if after[path] != before[path]} == {"models"}


def test_the_commands_that_prove_it_are_listed(outputs) -> None:
    html = section(outputs(decoders=DECODERS))
    for command in ("make repro", "recap verify", "recap verify --rerun", "recap doctor"):
        assert f"<code>{command}</code>" in html


def test_the_stages_stand_in_an_order_in_which_they_can_run(outputs) -> None:
    stages = pipeline()
    ranks = {stage: rank for rank, own in enumerate(STAGES) for stage, _ in own}
    assert ranks.keys() == stages.keys()
    assert "in an order in which they can run" in section(outputs(decoders=DECODERS))

    def paths(stage: str, kind: str) -> list[str]:
        entries = stages[stage].get(kind, [])
        return [str(*entry) if isinstance(entry, dict) else entry for entry in entries]

    for stage in ranks:
        for other in ranks:
            written = [*paths(other, "outs"), *paths(other, "metrics")]
            reads = any(
                path.startswith(read + "/") or read.startswith(path + "/") or read == path
                for read in paths(stage, "deps")
                for path in written
            )
            assert not reads or ranks[other] < ranks[stage], (stage, other)


def test_versions_are_those_of_the_lock(outputs) -> None:
    assert "numpy 2.4.6" in section(outputs(decoders=DECODERS))

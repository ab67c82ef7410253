"""The section that says what is promised, how to run it again and what to compare."""

import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from recap.core.hashes import hash_output
from recap.report.config import ReportConfig
from recap.report.inputs import Folders, load_inputs
from recap.report.page import render_page
from recap.report.promise import promise

CONFIG = ReportConfig(gallery_images=2, extreme_images=1, seed=3)
DECODERS = ("lstm", "rnn")


def section(folders: Folders, arithmetic: str = "portable", device: str = "cpu") -> str:
    """The section's HTML."""
    params = {"runtime": {"arithmetic": arithmetic, "threads": 2, "device": device}}
    page = render_page(load_inputs(folders, DECODERS, params), CONFIG)
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
    folders: Folders = outputs(decoders=(*DECODERS, "transformer"))
    html = section(folders)
    assert table(html) == {
        "data/raw": hash_output(folders.raw),
        "data/captions": hash_output(folders.captions),
        "models/backbone": hash_output(folders.models / "backbone"),
        "models/lstm": hash_output(folders.models / "lstm"),
        "models/rnn": hash_output(folders.models / "rnn"),
        "reports/vision": hash_output(folders.vision),
    }
    assert str(folders.raw.parents[1]) not in html


def test_an_output_that_is_not_there_is_left_out_and_one_that_changes_shows(outputs) -> None:
    folders: Folders = outputs(decoders=DECODERS)
    before = table(section(folders))
    shutil.rmtree(folders.models / "backbone")
    (folders.models / "rnn" / "more").write_text("more")
    after = table(section(folders))
    assert before.keys() - after.keys() == {"models/backbone"}
    assert {path for path in after if after[path] != before[path]} == {"models/rnn"}


def test_the_commands_that_prove_it_are_listed(outputs) -> None:
    html = section(outputs(decoders=DECODERS))
    for command in ("make repro", "recap verify", "recap verify --rerun", "recap doctor"):
        assert f"<code>{command}</code>" in html


def test_what_the_table_names_is_what_the_stage_depends_on() -> None:
    from ruamel.yaml import YAML

    root = Path(__file__).resolve().parents[2]
    stage = YAML(typ="safe", pure=True).load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"][
        "report"
    ]
    data = {name for name in stage["deps"] if not name.startswith(("src/", "stages/"))}
    assert {"data/raw", "data/captions", "models", "reports/vision"} <= data

"""`recap report --compare`: two pipelines that DVC recorded, on one page, and what a browser does with it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.report.conftest import write_outputs
from tests.small_pipeline import dvc, git, read_lock_file

from recap.cli.main import main
from recap.core.artifacts import write_json

PIPELINE = """\
stages:
  fetch:
    cmd: make fetch
    params: [data]
    deps: [make.py]
    outs: [data/raw]
  tokenize:
    cmd: make tokenize
    deps: [data/raw]
    outs: [data/captions]
  train:
    matrix: {decoder: "${decoders.names}"}
    cmd: make train ${item.decoder}
    params: ["decoders.${item.decoder}"]
    deps: [data/captions]
    outs: ["models/${item.decoder}"]
  evaluate:
    matrix: {decoder: "${decoders.names}"}
    cmd: make evaluate ${item.decoder}
    deps: ["models/${item.decoder}"]
    outs:
      - reports/decoders/${item.decoder}/captions.json
      - reports/decoders/${item.decoder}/per_image.json
    metrics:
      - reports/decoders/${item.decoder}/metrics.json: {cache: false}
"""
PARAMS = """\
data: {rows: 3}
decoders:
  names: [rnn, lstm]
  rnn: {width: 2}
  lstm: {width: 4, name: "<script>document.title = 1</script>"}
"""
CARDS = "[...document.querySelectorAll('.card .number a')].map((own) => Number(own.textContent.slice(6)))"


def record(root: Path) -> None:
    """Let DVC record what lies there as what the stages make."""
    dvc(root, "commit", "--force")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "Run")


def change(root: Path, decoder: str, row: int, caption: str, score: float) -> None:
    """Let a decoder say something else of an image."""
    for name in ("captions.json", "per_image.json"):
        path = root / "reports" / "decoders" / decoder / name
        rows = json.loads(path.read_text())
        rows[row]["caption"] = caption
        if name == "per_image.json":
            rows[row]["cider_d"] = score
        path.unlink()
        write_json(path, rows)


@pytest.fixture(scope="module")
def _two_states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose LSTM is wider and says something else than at the tag `before`."""
    root = tmp_path_factory.mktemp("comparison") / "checkout"
    write_outputs(root, decoders=("rnn", "lstm"))
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text(PARAMS)
    (root / "make.py").write_text("first\n")
    (root / ".gitignore").write_text("/data\n/models\n/reports/**/*_image.json\n/reports/**/captions.json\n")
    git(root, "init", "--quiet")
    dvc(root, "init")
    record(root)
    git(root, "tag", "before")
    (root / "params.yaml").write_text(PARAMS.replace('width: 4, name: "', 'width: 8, name: "of '))
    (root / "make.py").write_text("second\n")
    change(root, "lstm", 4, "an <i>orchid</i>", 9.0)
    change(root, "lstm", 7, "a tulip", 0.0)
    path = root / "data" / "raw" / "images" / "test" / "000002.png"
    content = (root / "data" / "raw" / "images" / "test" / "000003.png").read_bytes()
    path.unlink()
    path.write_bytes(content)
    record(root)
    return root


@pytest.fixture
def two_states(_two_states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(shutil.copytree(_two_states, tmp_path / "checkout", symlinks=True))
    monkeypatch.chdir(root)
    return root


def compare(root: Path, revision: str) -> str:
    assert main(["report", "--compare", revision]) == 0
    return (root / "build" / "comparison.html").read_text(encoding="utf-8")


def test_settings_scores_and_images_of_both_are_there(two_states: Path, capfd) -> None:
    page = compare(two_states, "before")
    assert capfd.readouterr() == ("build/comparison.html\n", "")
    assert page.count("<code>decoders.lstm.width</code></th><td><code>4</code></td><td><code>8</code>") == 1
    assert "decoders.rnn.width" not in page
    assert "differ: <code>make.py</code>." in page
    assert "29 of 30 test images are the same" in page, "one picture has other pixels under its name"
    data = json.loads(page.partition('id="gallery-data">')[2].partition("</script>")[0])
    assert re.findall(r"></span>(\w+, [\w ]+)\s*</label>", page) == [
        f"{decoder}, {side}" for decoder in ("RNN", "LSTM") for side in ("before", "this checkout")
    ]
    (image,) = (own for own in data["images"] if own["id"] == 104)
    said = {key: " ".join(word for word, *_ in own["words"]) for key, own in image["captions"].items()}
    assert said["lstm-this"] == "an <i>orchid</i>"
    assert said["lstm-base"] == "one large green digit on a striped ground"
    assert said["rnn-this"] == said["rnn-base"]
    assert compare(two_states, "HEAD~1").replace("HEAD~1", "before") == page
    assert "Both were made with the same settings" in compare(two_states, "HEAD")


@pytest.mark.slow
def test_an_experiment_is_compared_by_its_name(two_states: Path) -> None:
    (two_states / "params.yaml").write_text(PARAMS.replace("width: 4", "width: 16"))
    change(two_states, "lstm", 4, "a rose", 9.0)
    dvc(two_states, "commit", "--force")
    dvc(two_states, "exp", "save", "--name", "roses")
    git(two_states, "checkout", "--quiet", "--force", ".")
    dvc(two_states, "checkout", "--force")
    page = compare(two_states, "roses")
    assert "<td><code>16</code></td><td><code>8</code></td>" in page
    assert '["rose",' in page


def test_what_is_not_here_is_said_in_a_line(two_states: Path, capfd) -> None:
    git(two_states, "checkout", "--quiet", "before", "dvc.lock")
    outputs = read_lock_file(two_states)["stages"]["evaluate@lstm"]["outs"]
    git(two_states, "checkout", "--quiet", "HEAD", "dvc.lock")
    md5 = next(own["md5"] for own in outputs if own["path"].endswith("captions.json"))
    (two_states / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    assert main(["report", "--compare", "before"]) == 2
    line = capfd.readouterr().err
    assert line.count("\n") == 1
    assert "before: expected reports/decoders/lstm/captions.json in DVC's cache" in line
    assert "dvc fetch" in line
    assert main(["report", "--compare", "nowhere"]) == 2
    assert capfd.readouterr().err.endswith("a revision of git or an experiment of DVC, received 'nowhere'\n")
    assert not (two_states / "build").exists()


@pytest.mark.slow
def test_the_page_sorts_by_what_changed_and_shows_both_sides(two_states: Path, browser: object) -> None:
    compare(two_states, "before")
    page = two_states / "build" / "comparison.html"
    browser.open(f"{page.as_uri()}#gallery?sort=gained&decoders=lstm-base+lstm-this", 1400)  # type: ignore[attr-defined]
    evaluate: Callable[[str], object] = browser.evaluate  # type: ignore[attr-defined]
    assert evaluate(CARDS)[0] == 104  # type: ignore[index]
    sides = "[...document.querySelectorAll('.card .captions')].at(0).children"
    boxes = f"[...{sides}].map((own) => Math.round(own.getBoundingClientRect().top))"
    assert len(set(evaluate(boxes))) == 1, "side by side"  # type: ignore[call-overload]
    assert evaluate(f"{sides}.length") == 2
    assert evaluate(f"{sides}[1].querySelector('.said').textContent.trim()") == "an <i>orchid</i>"
    evaluate(
        "const field = document.querySelector('[name=sort]'); field.value = 'lost';"
        "field.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    assert evaluate(CARDS)[0] == 107  # type: ignore[index]
    assert evaluate("document.title") == "recap: before and this checkout"
    assert "of <script>" in str(evaluate("document.querySelector('.settings').textContent"))
    assert evaluate("document.querySelectorAll('i, section script:not([type])').length") == 0
    long = "seed-232-0fc3e830 or a longer name"
    evaluate(
        f"for (const own of document.querySelectorAll('.differences thead th')) own.textContent = '{long}'"
    )
    scroll = "document.querySelector('.scroll:has(.differences)')"
    assert evaluate(f"{scroll}.scrollWidth <= {scroll}.clientWidth"), "p is seen beside long names"
    browser.open(page, 390)  # type: ignore[attr-defined]
    assert evaluate("document.documentElement.scrollWidth") <= 390  # type: ignore[operator]

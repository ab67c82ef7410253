"""MLflow's own pages in a real browser: the views that `recap ui` names show what they promise."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
DECODERS = ("rnn", "lstm", "transformer")
SECONDS = 240
TEXT = "(document.body?.innerText ?? '')"  # a page that has just been left has no body


@pytest.fixture(scope="module")
def addresses(
    tmp_path_factory: pytest.TempPathFactory,
    make_checkout: Callable[[Path], Any],
    free_port: Callable[[], int],
) -> Iterator[dict[str, str]]:
    """The views of a store with two pipelines of three decoders, while `recap ui` serves them."""
    checkout = make_checkout(tmp_path_factory.mktemp("ui") / "checkout")
    checkout.edit("decoders: [lstm, rnn]", f"decoders: [{', '.join(DECODERS)}]")
    checkout.edit("  rnn:\n", "  transformer:\n    width: 4\n  rnn:\n")
    checkout.dvc("repro")
    checkout.edit("width: 4", "width: 5")
    checkout.dvc("repro")
    checkout.sync()
    command = [sys.executable, "-m", "recap.cli", "ui", "--port", str(free_port())]
    with subprocess.Popen(
        command,
        cwd=checkout.root,
        env=checkout.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline() for _ in range(3)]
            yield dict(re.fullmatch(r"(\w+): +(\S+)\n", line).groups() for line in lines)  # type: ignore[union-attr]
        finally:
            server.terminate()


@pytest.fixture
def look(browser: Any, addresses: dict[str, str], tmp_path: Path) -> Callable[[str, str], Any]:
    """Open a view and wait until a JavaScript expression holds; a picture stays in RECAP_TEST_PICTURES."""

    def open_view(name: str, expression: str) -> Any:
        settings = "localStorage['mlflow.assistant.panelOpen_v1'] = 'false'"
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=settings)
        until = time.monotonic() + SECONDS
        found = None
        while not found:
            browser.open("about:blank", 1500)
            with suppress(AssertionError):  # the server still starts
                browser.open(addresses[name], 1500)
            again = time.monotonic() + 60
            while not (found := browser.evaluate(expression)) and time.monotonic() < again:
                time.sleep(0.5)
            assert found or time.monotonic() < until, browser.evaluate(TEXT)
        folder = Path(os.environ.get("RECAP_TEST_PICTURES", tmp_path))
        browser.screenshot(folder / f"{name}.png", 0, 900)
        return found

    return open_view


def test_the_runs_table_shows_the_scores_of_every_pipeline(look: Callable[[str, str], Any]) -> None:
    rows = "[...document.querySelectorAll('.ag-row')].map(row => row.innerText)"
    headers = "[...document.querySelectorAll('.ag-header-cell')].map(cell => cell.innerText)"
    rows, headers = look("pipelines", f"{rows}.join().includes('0.5') && [{rows}, {headers}]")
    assert {f"{decoder}.cider_d" for decoder in DECODERS} <= {header.strip() for header in headers}
    text = "\n".join(rows)
    assert text.count("pipeline ") == 2, "a row a pipeline, its stages folded"
    assert "train/lstm" not in text


def test_the_curves_of_the_decoders_lie_in_one_chart(look: Callable[[str, str], Any]) -> None:
    plots = "[...document.querySelectorAll('.js-plotly-plot')]"
    curves = f"{plots}.map(plot => plot.data.filter(line => line.x?.length == 5).map(line => line.name))"
    charts, text = look("curves", f"{curves}.some(lines => lines.length >= 8) && [{curves}, {TEXT}]")
    names = {f"train/{decoder}" for decoder in DECODERS}
    assert any(names <= {name.partition(" ")[0] for name in lines} for lines in charts), charts
    drawn = [name.partition(" ")[0] for name in max(charts, key=len)]
    assert drawn.count("train/transformer") == 2 * drawn.count("train/lstm"), "reused runs are not drawn"
    assert all(f"train/{decoder}" in text for decoder in DECODERS)
    assert "evaluate/" not in text


def test_captions_stand_side_by_side(look: Callable[[str, str], Any]) -> None:
    shown = " && ".join(f"{TEXT}.includes('{decoder} sees 0')" for decoder in DECODERS)
    text = look("captions", f"{shown} && {TEXT}.includes('lstm sees 2') && {TEXT}")
    for decoder in DECODERS:
        assert f"evaluate/{decoder}" in text
        assert f"{decoder} sees 0" in text
    assert "Compare: caption" in " ".join(text.split())


def test_a_page_of_another_host_is_refused(addresses: dict[str, str]) -> None:
    import httpx

    server = httpx.URL(addresses["pipelines"]).copy_with(fragment=None, query=None)
    until = time.monotonic() + SECONDS
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(server).status_code == 200:
                break
        assert time.monotonic() < until
        time.sleep(0.5)
    assert httpx.get(server, headers={"Host": f"localhost:{server.port}"}).status_code == 200
    for host in ("evil.example", "10.evil.example", "192.168.evil.example:5000", "localhost:evil.example"):
        assert httpx.get(server, headers={"Host": host}).status_code == 403

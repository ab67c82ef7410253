"""`recap plots-page`: the page of `dvc plots show` before it and after it."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.small_pipeline import dvc, environment


@pytest.mark.slow
def test_plots_are_shown_before_the_setup_and_offline_after_it(finished_run: Path) -> None:
    page = finished_run / "dvc_plots" / "index.html"
    for is_set_up in (False, True):
        if is_set_up:
            command = [sys.executable, "-m", "recap.cli", "plots-page"]
            subprocess.run(command, cwd=finished_run, env=environment(), check=True)
        dvc(finished_run, "plots", "show", "models/lstm/history.csv")
        text = page.read_text(encoding="utf-8")
        assert "<title>recap: plots</title>" in text if is_set_up else "<title>DVC Plot</title>" in text
        assert ('src="http' in text) != is_set_up
        assert "2.5" in text
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=finished_run, capture_output=True, text=True
    )
    assert "config" not in status.stdout

"""What every command does with odd arguments and streams."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.imports import ROOT

from recap.cli.main import main


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_no_exit_code(closed: str) -> None:
    for options, code in (("config", 0), ("config --no", 2)):
        command = f"exec {sys.executable} -m recap.cli {options} {closed}"
        result = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
        assert (result.returncode, "Traceback" in result.stderr) == (code, False), result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "caption EMPTY",
        "caption a.png --model=",
        "caption a.png --decoder=",
        "bundle EMPTY",
        "serve --images=",
        "init EMPTY --from a",
        "init a --from EMPTY",
        "data describe --samples=",
        "score EMPTY a",
        "runs EMPTY",
        "seeds --output=",
        "report --compare=",
        "see words a.png --output=",
    ],
)
def test_an_empty_argument_is_no_folder_and_no_default(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["" if part == "EMPTY" else part for part in command.split()])
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "received an empty one" in told or "received ''" in told
    assert not list(tmp_path.iterdir())

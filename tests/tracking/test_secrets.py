"""A password in the store's address is neither printed nor kept; a reader that has enough ends a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recap.tracking.importer import record
from recap.tracking.stage import start
from recap.tracking.store import describe_error, hide_password
from recap.workspace.journal import journals

ADDRESSES = [
    "http://anna:s3cret@127.0.0.1:9",
    "http://anna:s3cret%40x@127.0.0.1:9/base",
    "postgresql://anna:s3cret@127.0.0.1:9/mlflow",
    "mysql+pymysql://anna:s3cret@127.0.0.1:9/mlflow",
    "nothing://anna:s3cret@127.0.0.1",
    "http://s3cret@[",
]


@pytest.mark.parametrize("address", [*ADDRESSES, "http://anna:s3cret/@x@host"])
def test_no_message_holds_it(address: str) -> None:
    environment = {"MLFLOW_TRACKING_URI": address}
    text = f"cannot reach {address}/api or '{address}'"
    assert "s3cret" not in hide_password(text, environment)
    assert "s3cret" not in describe_error(ValueError(text), environment)
    assert "cannot reach" in hide_password(text, environment)


def test_other_secrets_of_mlflow_are_hidden_and_the_rest_stays() -> None:
    environment = {"MLFLOW_TRACKING_PASSWORD": "s3cret", "MLFLOW_TRACKING_TOKEN": "t0ken"}
    assert hide_password("s3cret t0ken http://a/b@c", environment) == "*** *** http://a/b@c"
    assert hide_password("a@b, http://host:1/x", {}) == "a@b, http://host:1/x"


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with a password, of this process too."""
    variables = {"DVC_ROOT": str(tmp_path), "MLFLOW_TRACKING_URI": ADDRESSES[0]}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return variables


def test_the_reason_of_a_failure_does_not_hold_it(variables: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(OSError), start("fetch"):  # noqa: PT011
        raise OSError(f"no answer of\n{ADDRESSES[0]}/api")
    (journal,) = journals(tmp_path)
    assert list(journal.events())[-1]["reason"] == "OSError: no answer of http://***@127.0.0.1:9/api"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own
def test_a_warning_does_not_hold_it(
    variables: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".recap").write_text(f"{ADDRESSES[0]} where a folder should be")
    with start("fetch"):
        pass
    record(variables)
    said = capsys.readouterr().err
    assert said.count("warning: MLflow: ") == 2
    assert "s3cret" not in said


@pytest.mark.slow
@pytest.mark.parametrize("address", ADDRESSES[::2])
def test_no_command_prints_or_keeps_it(address: str, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / ".dvc").mkdir()
    variables = os.environ | {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    for command in (["runs"], ["sync", "--within", "20"]):
        result = subprocess.run(
            [sys.executable, "-m", "recap.cli", *command],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
        )
        assert result.returncode
        assert "s3cret" not in result.stdout + result.stderr
        assert "Traceback" not in result.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert kept == []


@pytest.mark.parametrize("command", ["config", "verify"])
def test_a_reader_that_has_enough_is_no_error(command: str, finished_run: Path) -> None:
    if command == "config":
        root = Path(__file__).parents[2]
    else:
        root = finished_run
        (root / "models" / "lstm" / "model.json").write_text("{}")
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as output:
        result = subprocess.run(
            [sys.executable, "-m", "recap.cli", command], cwd=root, stdout=output, stderr=subprocess.PIPE
        )
    assert result.stderr == b""
    assert result.returncode == 141

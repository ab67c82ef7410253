"""`recap verify` and `recap doctor` as they are called: what is printed where, and the exit code."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.small_pipeline import OUTPUTS, environment, lock_again, read_lock_file

import recap.cli.proof
import recap.proof.doctor
from recap.cli.main import main
from recap.core.hashes import hash_list
from recap.proof.lock import LockedOutput
from recap.proof.verify import Finding

ROOT = Path(__file__).resolve().parents[2]
COUNT = sum(len(paths) for paths in OUTPUTS.values())
NATIVE = {"arithmetic": "native", "threads": 2, "device": "cpu"}


@pytest.fixture
def here(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout in which the commands run."""
    monkeypatch.chdir(finished_run)
    return finished_run


def change(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def test_a_run_as_recorded_is_a_line(here: Path, capfd) -> None:
    assert main(["verify"]) == 0
    deps = read_lock_file(here)["stages"]["page"]["deps"]
    digest = hash_list({own["path"]: own["md5"] for own in deps})
    page = f"reports/index.html: made from these outputs, as its own digest says: {digest}"
    assert capfd.readouterr() == (f"{COUNT} identical\n{page}\n", "")


def test_what_differs_is_named_with_its_first_difference(here: Path, capfd) -> None:
    change(here / "reports/index.html", "<p>pages</p>\n")
    md5 = read_lock_file(here)["stages"]["page"]["outs"][0]["md5"]
    assert main(["verify"]) == 1
    assert capfd.readouterr().out.splitlines() == [
        f"different: reports/index.html (stage page, expected md5 {md5}): "
        "line 1: expected '<p>page</p>', received '<p>pages</p>'",
        f"1 different, {COUNT - 1} identical",
    ]


def test_json_is_one_object(here: Path, capfd) -> None:
    (here / "reports/index.html").unlink()
    assert main(["verify", "--json"]) == 1
    values = json.loads(capfd.readouterr().out)
    assert values["counts"] == {"identical": COUNT - 1, "missing": 1}
    assert values["acceptable"] is False
    assert "every x86-64 processor" in values["promise"]


def test_markdown_holds_verdicts(here: Path, capfd) -> None:
    assert main(["verify", "--markdown"]) == 0
    assert f"**{COUNT} identical**: as promised." in capfd.readouterr().out


@pytest.mark.parametrize(("runtime", "code"), [(NATIVE, 0), (None, 1)])
def test_only_against_another_checkout_is_equivalent_enough(here, tmp_path, capfd, runtime, code) -> None:
    other = shutil.copytree(here, tmp_path / "other")
    change(here / "models/lstm/model.json", "{}")
    for checkout in (here, other):
        lock_again(checkout, runtime)
    assert main(["verify", "--against", str(other), "--json"]) == code
    values = json.loads(capfd.readouterr().out)
    assert values["counts"] == {"identical": COUNT - 1, "equivalent" if runtime else "different": 1}
    assert ("runtime.arithmetic: native" in values["promise"]) == bool(runtime)
    (here / "reports/index.html").unlink()
    assert main(["verify"]) == 1


@pytest.mark.parametrize(("options", "code"), [([], 1), (["--rerun"], 1), (["--against", "other"], 0)])
def test_on_one_machine_only_identical_is_enough(here, monkeypatch, capfd, options, code) -> None:
    finding = Finding(LockedOutput("page", "reports/index.html", "0", 1), "equivalent", "1")
    monkeypatch.setattr(recap.cli.proof, "_findings", lambda options: iter([finding]))
    assert main(["verify", *options]) == code


def test_a_checkout_that_is_not_there_is_a_line_and_exit_code_2(here: Path, capfd) -> None:
    assert main(["verify", "--against", "nowhere"]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("nowhere/dvc.lock: expected a dvc.lock")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--json", "--markdown"], ["--rerun", "--against", "x"]])
def test_options_that_exclude_each_other_are_refused(here: Path, capfd, arguments) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["verify", *arguments])
    assert caught.value.code == 2


@pytest.mark.parametrize("fault", ["no lock", "lock cut", "stage gone", "pipeline broken", "pipeline gone"])
@pytest.mark.parametrize("option", [[], ["--rerun"], ["--json"]])
def test_a_process_says_what_is_wrong_in_one_line(finished_run: Path, fault: str, option: list[str]) -> None:
    lock, pipeline = finished_run / "dvc.lock", finished_run / "dvc.yaml"
    if fault == "no lock":
        lock.unlink()
    elif fault == "lock cut":
        lock.write_text(lock.read_text()[: lock.stat().st_size // 2])
    elif fault == "stage gone":
        lock.write_text(lock.read_text().partition("  train@lstm:")[0])
    elif fault == "pipeline broken":
        pipeline.write_text("stages: [")
    else:
        pipeline.unlink()
    command = [sys.executable, "-m", "recap.cli", "verify", *option]
    result = subprocess.run(command, cwd=finished_run, env=environment(), capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("dvc.")
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_rerun_prints_its_verdicts_alone(here: Path) -> None:
    command = [sys.executable, "-m", "recap.cli", "verify", "--rerun", "--json"]
    result = subprocess.run(command, cwd=here, env=environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["counts"] == {"identical": COUNT}
    assert "Running stage" in result.stderr


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the repository's settings, and pins as installed, on a machine that computes portably."""
    monkeypatch.setattr(recap.proof.doctor, "unsupported", lambda: None)
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    pins = [f"{library}=={version(library)}\n" for library in recap.proof.doctor.COMPUTING]
    (tmp_path / "requirements.lock").write_text("".join(pins))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_doctor_finds_what_it_recorded(settings: Path, capfd) -> None:
    assert main(["doctor", "--record"]) == 0
    assert capfd.readouterr().out == "reports/machine.json: written\n"
    recorded = json.loads((settings / "reports/machine.json").read_text())
    assert list(recorded) == sorted(recorded)
    assert main(["doctor"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "nothing that matters differs"
    assert len(lines) < 50


def test_a_record_goes_where_it_can_be_written(settings: Path, capfd) -> None:
    (settings / "reports").write_text("")
    assert main(["doctor", "--record"]) == 2
    assert "reports/machine.json: expected a file that can be written" in capfd.readouterr().err


def test_the_doctor_leaves_with_1_when_something_matters(settings: Path, capfd) -> None:
    main(["doctor", "--record"])
    path = settings / "reports/machine.json"
    recorded = json.loads(path.read_text())
    recorded["libraries"]["numpy"] = "0.1"
    path.write_text(json.dumps(recorded))
    assert main(["doctor"]) == 1
    assert capfd.readouterr().out.splitlines()[-1] == "matters: numpy"


@pytest.mark.parametrize("fault", ["machine", "params", "pins"])
def test_a_doctor_without_its_files_is_a_line_and_exit_code_2(settings: Path, capfd, fault: str) -> None:
    assert main(["doctor", "--record"]) == 0
    capfd.readouterr()
    names = {"machine": "reports/machine.json", "params": "params.yaml", "pins": "requirements.lock"}
    (settings / names[fault]).unlink()
    assert main(["doctor"]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{names[fault]}: expected")
    assert printed.err.count("\n") == 1


def test_a_folder_below_the_checkout_is_as_good(here: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.chdir(here / "models")
    assert main(["verify"]) == 0
    assert capfd.readouterr().out.startswith(f"{COUNT} identical\n")
    monkeypatch.chdir(here / "models")
    assert main(["verify", "--against", ".."]) == 0
    assert capfd.readouterr().out == f"{COUNT} identical, by the hashes in the two dvc.lock\n"

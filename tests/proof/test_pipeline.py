"""What dvc.yaml declares: asked of DVC, without a trace in the checkout or on the terminal."""

from pathlib import Path

import pytest
from tests.small_pipeline import OUTPUTS

from recap.errors import InputError
from recap.proof.pipeline import declared_outputs

ROOT = Path(__file__).resolve().parents[2]


def files(root: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))


def test_a_matrix_is_resolved_and_nothing_is_written(finished_run: Path, capfd) -> None:
    before = files(finished_run)
    assert declared_outputs(finished_run) == OUTPUTS
    assert files(finished_run) == before
    assert capfd.readouterr() == ("", "")


def test_a_relative_path_and_a_checkout_of_git_files_alone_will_do(finished_run, monkeypatch) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        target = finished_run.parent / "clone" / name
        target.parent.mkdir(exist_ok=True)
        target.write_text((finished_run / name).read_text())
    monkeypatch.chdir(finished_run.parent)
    assert declared_outputs(Path("clone")) == OUTPUTS
    assert sorted(path.name for path in Path("clone").iterdir()) == ["dvc.yaml", "params.yaml"]


def test_the_committed_pipeline_is_read() -> None:
    outputs = declared_outputs(ROOT)
    assert outputs["fetch"] == ["data/raw", "reports/fetch/metrics.json"]
    assert outputs["train@lstm"] == ["models/lstm"]


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        (None, "received no such file"),
        ("", "received no stages"),
        ("stages: {}\n", "received no stages"),
        ("stages: [\n", "unable to read"),
        ("stages:\n  make: 3\n", "validation failed"),
        ("stages:\n  make:\n    cmd: x\n    outs: ['${nothing}']\n", "Could not find 'nothing'"),
        ("\0", "unable to read"),
        ("stages:\n  make:\n    cmd: x\n    outs: [x]\nvars: [absent.yaml]\n", "absent.yaml"),
    ],
)
def test_a_broken_pipeline_is_refused_in_one_line(tmp_path: Path, capfd, pipeline, reason: str) -> None:
    if pipeline is not None:
        (tmp_path / "dvc.yaml").write_text(pipeline)
    with pytest.raises(InputError, match=r"dvc\.yaml: expected a pipeline of DVC") as caught:
        declared_outputs(tmp_path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "recap-pipeline" not in str(caught.value)
    assert capfd.readouterr() == ("", "")

"""The digest that names experiments."""

from pathlib import Path

from recap.experiments.experiment import base_digest


def test_experiments_keep_their_names_when_what_they_found_is_written(tmp_path: Path) -> None:
    stage = "{cmd: cat *, deps: [code.py, docs/seeds]}"
    (tmp_path / "dvc.yaml").write_text(f"stages: {{report: {stage}}}", encoding="utf-8")
    (tmp_path / "params.yaml").write_text("train: {seed: 1}", encoding="utf-8")
    (tmp_path / "docs" / "seeds").mkdir(parents=True)
    digests = []
    for path in ("code.py", "docs/seeds/seeds.json", "code.py"):
        with open(tmp_path / path, "a", encoding="utf-8") as file:
            file.write("more")
        digests.append(base_digest(tmp_path, ["train.seed"]))
    assert digests[0] == digests[1] != digests[2]

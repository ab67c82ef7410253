"""The digest that names experiments, and the settings that they change."""

from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from recap.core.plain_yaml import read_yaml
from recap.experiments.experiment import base_digest, set_params


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


@pytest.mark.parametrize("value", [None, True, 3, 1e-5, "cosine", "two words, a comma", ["a b", 1, None], []])
def test_dvc_reads_a_setting_as_it_is(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {setting: before}")
    apply_overrides(path, set_params({"train.setting": value})[1::2])
    assert read_yaml(path, "settings") == {"train": {"setting": value}}

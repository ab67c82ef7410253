"""The user's own files are dependencies by content: an edit reruns what reads them, and nothing else does."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from recap.core.feature_files import open_features
from recap.core.hashes import hash_file, hash_output
from recap.workspace.user_files import Digests

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The repository's stages up to `backbone`, with pictures and captions of a person beside it."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("stages", "src", "inputs", ".dvc"):
        shutil.copytree(
            ROOT / name, root / name, ignore=shutil.ignore_patterns("tmp", "cache", "__pycache__")
        )
    for name in (
        "params.yaml",
        "dvc.yaml",
        "requirements.lock",
        "downloads.json",
        ".gitignore",
        ".dvcignore",
    ):
        shutil.copy(ROOT / name, root / name)
    mine = tmp_path / "mine"
    (mine / "images").mkdir(parents=True)
    number = 0
    for split in ("train", "test"):
        entries, captions = [], []
        for _ in range(3):
            number += 1
            name = f"{number}.png"
            Image.new("RGB", (32, 32), (40 * number, 10, 10)).save(mine / "images" / name)
            entries.append({"id": number, "file_name": name})
            captions.append({"id": number, "image_id": number, "caption": f"a picture with number {number}"})
        (mine / f"{split}.json").write_text(json.dumps({"images": entries, "annotations": captions}))
    yaml = YAML()
    params = yaml.load(root / "params.yaml")
    params["data"]["source"] = "folder"
    params["data"]["folder"] = {
        "images": "../mine/images",
        "train_captions": "../mine/train.json",
        "validation_captions": None,
        "test_captions": str(mine / "test.json"),
    }
    params["tokenize"]["min_count"] = 1
    yaml.dump(params, root / "params.yaml")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def ran(root: Path, target: str = "tokenize") -> list[str]:
    """The stages that `dvc repro` runs, those of the digests apart."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"RECAP_TRACKING": "off"}
    result = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", target],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return [name for name in re.findall(r"Running stage '(.+?)'", result.stdout) if ":inputs" not in name]


@pytest.mark.slow
def test_an_edit_of_a_file_reruns_what_reads_it(checkout: Path) -> None:
    mine = checkout.parent / "mine"
    assert ran(checkout) == ["fetch", "tokenize"]
    assert ran(checkout) == []
    first = (checkout / "dvc.lock").read_bytes()
    captions = mine / "train.json"
    captions.write_text(captions.read_text().replace("number 2", "no number"))
    assert ran(checkout) == ["fetch", "tokenize"]
    assert (checkout / "dvc.lock").read_bytes() != first
    assert "a picture with no number" in (checkout / "data/raw/annotations/captions_train.json").read_text()
    Image.new("RGB", (32, 32), (1, 2, 3)).save(mine / "images" / "2.png")
    assert ran(checkout) == ["fetch"]
    assert hash_file(checkout / "data/raw/images/train/2.png") == hash_file(mine / "images" / "2.png")
    assert ran(checkout) == []
    digests = json.loads((checkout / "inputs" / "folder.json").read_text())
    assert digests == {
        "data.folder.images": hash_output(mine / "images"),
        "data.folder.train_captions": hash_file(mine / "train.json"),
        "data.folder.validation_captions": None,
        "data.folder.test_captions": hash_file(mine / "test.json"),
        "data.language_captions": None,
    }
    assert str(mine) not in (checkout / "inputs" / "folder.json").read_text()


def change_features(root: Path, **changes: str) -> None:
    yaml = YAML()
    params = yaml.load(root / "params.yaml")
    params["features"] |= changes
    yaml.dump(params, root / "params.yaml")


@pytest.mark.slow
def test_an_encoder_of_the_users_is_a_dependency_by_content(checkout: Path) -> None:
    """The one of docs/encoders.md; then features of the user's in its place."""
    page = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n# encoders/colours\.py\n(.*?)```", page, re.DOTALL)
    encoder = checkout / "encoders" / "colours.py"
    encoder.parent.mkdir()
    encoder.write_text(code)
    change_features(checkout, backbone="encoders/colours.py:build")
    assert ran(checkout, "extract") == ["fetch", "backbone", "extract"]
    assert ran(checkout, "extract") == []
    red = [(40 * number / 255 - 0.5) / 0.25 for number in (4, 5, 6)]
    features = open_features(checkout / "data" / "features" / "test.h5")
    np.testing.assert_allclose(features[:, 0], red, rtol=1e-5)
    encoder.write_text(code.replace("return torch", "return 2 * torch"))
    assert ran(checkout, "extract") == ["backbone", "extract"]
    features = open_features(checkout / "data" / "features" / "test.h5")
    np.testing.assert_allclose(features[:, 0], np.multiply(red, 2), rtol=1e-5)
    own = checkout.parent / "mine" / "own.npz"
    np.savez(own, **{str(number): np.full(5, number) for number in range(1, 7)})
    change_features(checkout, backbone="given", given=str(own))
    assert ran(checkout, "extract") == ["backbone", "extract"]
    features = open_features(checkout / "data" / "features" / "test.h5")
    assert features.tolist() == [[number] * 5 for number in (4, 5, 6)]
    np.savez(own, **{str(number): np.full(5, -number) for number in range(1, 7)})
    assert ran(checkout, "extract") == ["backbone", "extract"]
    assert open_features(checkout / "data" / "features" / "test.h5")[0, 0] == -4


@pytest.mark.slow
def test_the_default_pipeline_looks_at_no_such_file(checkout: Path) -> None:
    shutil.copy(ROOT / "params.yaml", checkout / "params.yaml")
    yaml = YAML()
    params = yaml.load(checkout / "params.yaml")
    params["data"]["scenes"] |= {"train_images": 20, "validation_images": 6, "test_images": 6}
    yaml.dump(params, checkout / "params.yaml")
    assert ran(checkout) == ["fetch", "tokenize"]
    assert ran(checkout) == []
    assert sorted(path.name for path in (checkout / "inputs").iterdir()) == [
        "dvc.yaml", "scenes.json", "small_vgg.json"
    ]  # fmt: skip


def test_a_digest_is_formed_once_and_again_when_a_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text("one")
    old = time.time() - 100
    os.utime(path, (old, old))
    kept, registry = tmp_path / "kept.json", tmp_path / "downloads.json"
    digests = Digests(kept, registry)
    assert digests.digest(str(path)) == hash_file(path)
    digests.keep()
    entry = json.loads(kept.read_text())
    entry[str(path)][-1] = "a digest that is only remembered"
    kept.write_text(json.dumps(entry))
    assert Digests(kept, registry).digest(str(path)) == "a digest that is only remembered"
    path.write_text("two")
    assert Digests(kept, registry).digest(str(path)) == hash_file(path)
    kept.write_text("{ half")
    assert Digests(kept, registry).digest(str(path)) == hash_file(path)


def test_absent_files_settings_and_urls_have_digests_too(tmp_path: Path) -> None:
    registry = tmp_path / "downloads.json"
    registry.write_text(json.dumps({"https://example.org/a.zip": {"sha256": "ab" * 32, "size": 3}}))
    digests = Digests(tmp_path / "kept.json", registry)
    assert digests.digest(None) is None
    assert digests.digest(str(tmp_path / "absent")) is None
    assert digests.digest("https://example.org/a.zip") == "ab" * 32
    assert digests.digest("https://example.org/b.zip") is None
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "a").write_text("1")
    (tmp_path / "folder" / "b").write_text("2")
    assert digests.digest(str(tmp_path / "folder")) == hash_output(tmp_path / "folder")

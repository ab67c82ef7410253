"""The photographs of `make photographs`: each has a licence, and comes out of its package unchanged."""

import importlib.util
import json
from pathlib import Path

import pytest
from tests.imports import ROOT

from recap.core.raw_data import read_json
from recap.text.coco_files import check_coco_captions

FOLDER = ROOT / "photographs"
SPECIFICATION = importlib.util.spec_from_file_location("collect", FOLDER / "collect.py")
assert SPECIFICATION is not None
assert SPECIFICATION.loader is not None
COLLECT = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(COLLECT)


def test_every_photograph_has_captions_and_a_licence() -> None:
    content = read_json(FOLDER / "captions.json")
    images, captions = check_coco_captions(content, "captions.json")
    licences = {own["id"] for own in content["licenses"]}
    assert len(images) == 15
    for image in content["images"]:
        assert image["license"] in licences
        assert image["author"]
        assert sum(caption["image_id"] == image["id"] for caption in captions) == 4


def test_installed_packages_give_theirs_and_others_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = read_json(FOLDER / "captions.json")
    own = [image for image in content["images"] if not image["wheel"].startswith("scikit-image")]
    monkeypatch.setattr(COLLECT, "CAPTIONS", tmp_path / "captions.json")
    COLLECT.CAPTIONS.write_text(json.dumps({"images": own}))
    COLLECT.collect(tmp_path / "images")
    found = {path.name for path in (tmp_path / "images").iterdir()}
    assert found == {"china.jpg", "flower.jpg", "grace_hopper.jpg"}
    monkeypatch.setattr(COLLECT, "fetched", lambda requirement, members: dict.fromkeys(members, b"another"))
    COLLECT.CAPTIONS.write_text(json.dumps({"images": [own[0] | {"sha256": "0" * 64}]}))
    with pytest.raises(SystemExit, match=r"china.jpg: expected another SHA-256"):
        COLLECT.collect(tmp_path / "images")

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.synthetic_coco import write_synthetic_coco

from recap.cli.data import add_commands
from recap.errors import InputError
from recap.features.config import ReduceConfig
from recap.features.reduce import reduce
from recap.sources.config import CocoConfig, DataConfig, FolderConfig, ImagesConfig, ScenesConfig
from recap.sources.download import Files
from recap.sources.fetch import fetch
from recap.sources.registry import find_remote
from recap.text.config import TokenizeConfig
from recap.text.encode import tokenize


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`recap data ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())

    def command(*arguments: str) -> None:
        options = parser.parse_args(["data", *arguments])
        options.run(options)

    return command


def test_pin_then_nothing_else_is_accepted(tmp_path: Path, run, server, reply, capsys) -> None:
    url = f"{server.url}/weights.pth"
    server.replies["/weights.pth"] = [reply(b"first")]
    run("download", url)
    run("pin", url, "--offline")
    assert find_remote(url, Path("downloads.json")).size == 5
    run("download", url, "--offline")
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(InputError, match="expected SHA-256"):
        run("add", url, "other")
    (tmp_path / "other").write_bytes(b"first")
    run("add", url, "other")
    with pytest.raises(InputError, match="expected a URL"):
        run("download", "weights.pth")
    assert len(server.requests) == 1


def test_describe_a_stand_in_of_coco(tmp_path: Path, run, capsys) -> None:
    write_synthetic_coco(Path("stand-in"), scale=0.001, seed=231)
    coco = CocoConfig(
        archive="stand-in/coco_captioning.zip",
        check="any",
        train_captions="stand-in/annotations_trainval2014.zip",
        test_captions="stand-in/annotations_trainval2014.zip",
    )
    config = DataConfig(
        source="coco",
        validation_share=0.1,
        test_share=0.1,
        offline=True,
        language_captions=None,
        images=ImagesConfig(fetch=False, timeout=1.0),
        scenes=ScenesConfig(train_images=10, validation_images=3, test_images=3, seed=0),
        coco=coco,
        folder=FolderConfig(images=None, train_captions=None, validation_captions=None, test_captions=None),
    )
    fetch(config, Path("data/raw"), Files(Path("downloads"), Path("downloads.json"), offline=True))
    run("describe")
    assert "encoded" not in YAML(typ="safe").load(capsys.readouterr().out)
    tokenize(Path("data/raw"), Path("data/captions"), TokenizeConfig("word", 5, None, 17))
    reduce(
        Path("data/raw/features"),
        Path("data/captions"),
        Path("data/reduced"),
        ReduceConfig(True, 20, False, 0, 4.0, 64),
        threads=1,
    )
    run("describe", "--samples", "1")
    found = YAML(typ="safe").load(capsys.readouterr().out)
    sizes = {split: (own["images"], own["captions"]) for split, own in found["splits"].items()}
    assert sizes == {"train": (74, 369), "validation": (9, 45), "test": (41, 203)}
    assert found["splits"]["test"]["features"] == [41, 4096]
    assert found["overlap"]["test"]["images"] == 0
    assert found["encoded"]["train"]["captions"] == 358
    assert found["spectrum"]["components"] == 20
    assert all("staticflickr" in own["samples"][0]["image"] for own in found["splits"].values())

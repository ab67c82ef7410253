"""`recap see ...`: what it prints and writes, and one line for bad input."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recap.backbones.build import load_backbone, save_backbone
from recap.backbones.small_vgg import SmallVgg
from recap.cli.see import add_commands
from recap.core.artifacts import write_json, write_png, write_safetensors
from recap.core.feature_files import write_features
from recap.core.raw_data import SPLITS
from recap.decoders.build import build_decoder, save_decoder
from recap.errors import InputError
from recap.features.extraction import compute_features
from recap.features.familiarity import write_familiarity
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

ROOT = Path(__file__).resolve().parents[2]
HEADS = {"colour": ("red", "blue"), "digit": ("7", "8", "9")}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an untrained backbone and decoder, and an image."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmallVgg(8, HEADS)
    description = {"name": "small_vgg", "feature_dim": 8, "heads": HEADS}
    save_backbone(Path("models/backbone"), description, network.state_dict())
    model = {
        "name": "lstm",
        "feature_dim": 8,
        "hidden_dim": 8,
        "dropout": 0.0,
        "vocabulary_size": 6,
        "wordvec_dim": 8,
    }
    save_decoder(Path("models/lstm"), build_decoder(model, torch.Generator().manual_seed(1)), model)
    none, rows = np.zeros((0, 17), np.int32), np.zeros(0, np.int32)
    captions = Captions(Vocabulary((*SPECIAL_WORDS, "red", "seven")), dict.fromkeys(SPLITS, (none, rows)))
    save_captions(Path("data/captions"), captions)
    pixels = np.random.default_rng(0).integers(0, 256, (80, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def see(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    options = parser.parse_args(["see", *arguments])
    return int(options.run(options) or 0)


def test_predict_prints_a_line_a_head(capsys: pytest.CaptureFixture[str]) -> None:
    assert see("predict", "a.png", "--top", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["colour", "digit"]
    assert all(line.count("|") == 1 for line in lines)


def test_pictures_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert see("saliency", "a.png", "--head", "digit", "--class", "8", "--output", "s.png") == 0
    assert see("fool", "a.png", "--head", "colour", "--class", "blue", "--output", "f.png") in (0, 1)
    assert see("class", "--head", "digit", "--class", "2", "--iterations", "3", "--output", "c.png") == 0
    assert see("words", "a.png", "--output", "w.png") == 0
    out = capsys.readouterr().out
    assert "digit: 8: s.png" in out
    assert [line.partition(": ")[0] for line in out.splitlines() if "w.png" in line] == ["lstm"]
    assert "digit: 9: probability" in out
    for name in "sfcw":
        with Image.open(f"{name}.png") as image:
            assert image.size[0] > 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saliency", "a.png", "--head", "size"], "--head: expected one of colour, digit, received 'size'"),
        (
            ["fool", "a.png", "--class", "green"],
            "--class: expected a class of the head colour, such as 'red'",
        ),
        (["fool", "a.png", "--class", "2"], r"an index in 0\.\.1, received '2'"),
        (["saliency", "a.png", "--class", "²"], r"an index in 0\.\.1, received '²'"),
        (["predict", "absent.png"], "absent.png: expected an image that decodes"),
        (
            ["saliency", "a.png", "--output", "."],
            r"--output: \.: expected a file that can be written, received a folder",
        ),
        (
            ["class", "--class", "7", "--head", "digit", "--iterations", "1", "--output", "away/c.png"],
            "--output: away/c.png: expected a file that can be written, received: No such file",
        ),
        (
            ["words", "a.png", "--output", "a.png/w.png"],
            "--output: .*: expected .*: (Not a directory|File exists)",
        ),
        (["words", "a.png", "--decoder", "gru"], "models/gru: expected a trained decoder"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        see(*arguments)
    assert "\n" not in str(caught.value)


def test_parts_of_different_runs_are_refused() -> None:
    pca = Path("data/reduced/pca.safetensors")
    write_safetensors(pca, {"components": torch.ones(3, 5), "mean": torch.ones(5)})
    with pytest.raises(InputError, match="expected a PCA of the backbone's 8 features, received one of 5"):
        see("words", "a.png")
    write_safetensors(pca, {"components": torch.ones(3, 8), "mean": torch.ones(8)})
    with pytest.raises(InputError, match="one that reads the 3 features of the PCA, received 8"):
        see("words", "a.png")


@pytest.mark.parametrize("with_pca", [False, True])
def test_an_image_unlike_the_training_images_is_warned_of(
    capsys: pytest.CaptureFixture[str], with_pca: bool
) -> None:
    """Trained on grey images; a.png has all colours."""
    generator = np.random.default_rng(1)
    paths = [Path(f"images/{number}.png") for number in range(60)]
    for path in paths:
        write_png(path, generator.integers(100, 110, (70, 70, 3), dtype=np.uint8))
    features = compute_features(paths, load_backbone(Path("models/backbone")))
    if with_pca:
        components, mean = torch.eye(8)[[2, 1, 0, 3, 4, 5, 6, 7]], torch.from_numpy(features.mean(axis=0))
        write_safetensors(Path("data/reduced/pca.safetensors"), {"components": components, "mean": mean})
        features = (features - mean.numpy()) @ components.numpy().T
    write_features(Path("data/reduced/train.h5"), features[:30])
    write_features(Path("data/reduced/validation.h5"), features[30:])
    write_familiarity(Path("data/reduced"))
    assert see("words", str(paths[40])) == 0
    assert capsys.readouterr().err == ""
    for command in ("words", "predict", "saliency"):
        assert see(command, "a.png") == 0
        assert capsys.readouterr().err.startswith("warning: a.png: unlike the images that the model was")
    (Path("data/reduced") / "pca.safetensors").unlink(missing_ok=True)
    write_features(Path("data/reduced/train.h5"), features[:30, :5])
    write_features(Path("data/reduced/validation.h5"), features[30:, :5])
    write_familiarity(Path("data/reduced"))  # of another run
    assert see("predict", "a.png") == 0
    assert capsys.readouterr().err == ""


def test_help_says_where_to_run_and_what_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in ((["--help"], "reads models/"), (["class", "--help"], "default: 200")):
        with pytest.raises(SystemExit):
            see(*arguments)
        assert told in " ".join(capsys.readouterr().out.split())


def test_a_project_without_a_backbone_is_told(project: Path) -> None:
    (project / "models/backbone/backbone.json").unlink()
    for command in ("predict", "saliency", "words"):
        with pytest.raises(InputError, match="models/backbone: expected a trained backbone, received none"):
            see(command, "a.png")
    write_json(project / "models/backbone/backbone.json", {"name": "none"})
    with pytest.raises(InputError, match=r"expected one of small_vgg, .*, received 'none'"):
        see("predict", "a.png")

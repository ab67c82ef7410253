"""What is wrong with pictures and captions is left out and told; the settings fit what is left."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recap.cli.main import main
from recap.core.config import load_all
from recap.core.raw_data import SPLITS
from recap.errors import InputError
from recap.importing.pictures import lacks_spaces
from recap.importing.project import import_captions
from recap.sources.folder import fetch_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, and beside it ten pictures."""
    root, pictures = tmp_path / "checkout", tmp_path / "mine"
    root.mkdir()
    pictures.mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    generator = np.random.default_rng(0)
    for number in range(10):
        Image.fromarray(generator.integers(0, 255, (9, 7, 3), np.uint8)).save(pictures / f"{number}.png")
    monkeypatch.chdir(root)
    return root


def write_table(rows: list[str], columns: str = "image,split,caption") -> Path:
    path = Path("../mine/captions.csv")
    path.write_text(f"{columns}\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


ROWS = [f"{number}.png,,A cat number {number}" for number in range(10)]


def test_two_commands_and_only_params_change(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(ROWS)
    assert main(["init", "inputs/mine", "--from", "../mine/captions.csv"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "../mine/captions.csv: a table, 10 images"
    assert told[1] == "kept: 10 images with 10 captions"
    assert told[-1] == "next: make repro"
    groups = load_all(Path("params.yaml"))
    assert groups["data"].source == "folder"
    assert groups["data"].folder.images == "../mine"
    assert groups["data"].folder.train_captions == "inputs/mine/train.json"
    assert groups["data"].folder.test_captions is None
    assert groups["features"].backbone == "squeezenet1_1"
    assert groups["reduce"].components == 4
    captions, train = 8, groups["train"]  # all but two shares of ten
    assert train.warmup_steps < captions / train.batch_size * groups["decoders"].lstm.epochs
    assert groups["decoders"].transformer.epochs > groups["decoders"].lstm.epochs, "it learns slowest"
    before, after = ((place / "params.yaml").read_text().splitlines() for place in (ROOT, checkout))
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    names = {line.strip().partition(":")[0] for line in told[told.index("params.yaml:") + 1 : -1]}
    assert {line.strip().partition(":")[0] for line in changed} == {name.rpartition(".")[2] for name in names}
    for old, new in zip(before, after, strict=True):
        assert old.partition("#")[2] == new.partition("#")[2]


def test_a_backbone_is_named_without_weights(checkout: Path) -> None:
    write_table(ROWS)
    own = ["--backbone", "encoders/pixels.py:build"]
    assert main(["init", "inputs/mine", "--from", "../mine/captions.csv", *own]) == 0
    features = load_all(Path("params.yaml"))["features"]
    assert (features.backbone, features.weights) == ("encoders/pixels.py:build", None)


def test_what_cannot_be_used_is_left_out_and_told(checkout: Path) -> None:
    mine = checkout.parent / "mine"
    (mine / "1.png").write_bytes(b"no picture")
    shutil.copy(mine / "2.png", mine / "copy.png")
    shutil.copy(mine / "3.png", mine / "leak.png")
    rows = [f"{number}.png,train,A cat number {number}" for number in range(10)]
    rows += [
        "0.png,train,?!",
        "4.png,train,",
        "absent.png,train,x",
        f"{'a' * 300}.png,train,x",
        f"{'a' * 300}/b.png,train,x",
        "copy.png,train,The same",
        "leak.png,test,Again",
    ]
    rows[5] = "5.png,train,..."
    rows += ["9.png,train,again"]
    project = import_captions([write_table(rows)], None, Path("out"))
    told = "\n".join(project.messages)
    for line in (
        "left out, missing: 3 (aaa",
        "left out, broken: 1 (1.png)",
        "left out, without captions: 1 (5.png)",
        "left out, captions without a word: 3",
        "taken as one with its double: 1 (copy.png)",
        "taken as one with its double of another split: 1 (leak.png)",
        "kept: 8 images with 11 captions",
        "splits: train 7, test 1",
    ):
        assert line in told
    by_name = {picture.name: picture for picture in project.pictures}
    assert by_name["2.png"].captions == ("A cat number 2", "The same")
    assert by_name["3.png"].split == "test"
    assert "leak.png" not in by_name
    content = json.loads(project.files["test"].read_text())
    assert [item["caption"] for item in content["annotations"]] == ["A cat number 3", "Again"]
    assert not Path("out/left_out.csv").exists(), "the messages name all"


def test_images_left_out_are_listed_where_a_message_does_not_name_all(checkout: Path) -> None:
    rows = [f"{number}.png,A cat number {number}" for number in range(10)]
    rows += [f"gone/{number}.png,Lost" for number in range(5)]
    project = import_captions([write_table(rows, "image,caption")], None, Path("out"))
    assert project.messages[-1] == "all images left out, by name: out/left_out.csv"
    listed = Path("out/left_out.csv").read_text().splitlines()
    assert listed == ["image,reason", *(f'gone/{number}.png,"left out, missing"' for number in range(5))]


def test_licences_are_kept_for_the_page_when_asked(checkout: Path) -> None:
    terms = {"id": 7, "name": "Attribution License", "url": "https://example.org/by"}
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(10)]
    images[3] |= {"license": 7, "flickr_url": "https://example.org/3.png"}
    annotations = [{"image_id": number, "caption": f"A cat number {number}"} for number in range(10)]
    content = {"images": images, "annotations": annotations, "licenses": [terms]}
    given = Path("../mine/captions.json")
    given.write_text(json.dumps(content))
    plain = import_captions([given], None, Path("plain"))
    assert "license" not in plain.files["train"].read_text()
    assert any("--credits" in line for line in plain.messages)
    assert main(["init", "inputs/mine", "--from", str(given), "--credits"]) == 0
    fetch_folder(Path("../mine"), {"train": Path("inputs/mine/train.json")}, {"test": 0.3}, Path("raw"))
    raw = [
        image
        for path in sorted(Path("raw/annotations").glob("*.json"))
        for image in json.loads(path.read_text())["images"]
    ]
    assert len(raw) == 10
    assert [image for image in raw if len(image) > 2] == [
        {
            "id": 3,
            "file_name": "3.png",
            "url": "https://example.org/3.png",
            "license": "Attribution License",
            "license_url": "https://example.org/by",
        }
    ]


def test_two_files_are_training_and_test_and_three_have_validation_between(checkout: Path) -> None:
    paths = []
    for first in (0, 4, 7):
        own = write_table(ROWS[first : first + 3]).rename(f"../mine/{first}.csv")
        paths.append(own)
    two = import_captions(paths[:2], None, Path("two"))
    assert {picture.name: picture.split for picture in two.pictures} == {
        **dict.fromkeys(("0.png", "1.png", "2.png"), "train"),
        **dict.fromkeys(("4.png", "5.png", "6.png"), "test"),
    }
    assert set(import_captions(paths, None, Path("three")).files) == set(SPLITS)
    with pytest.raises(InputError, match="expected one to three files of captions, received 4"):
        import_captions([*paths, paths[0]], None, Path("four"))


def test_chinese_is_offered_characters(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table([f"{number}.png,,第{number}个男人在街上骑自行车" for number in range(10)])
    assert main(["init", "zh", "--from", "../mine/captions.csv"]) == 0
    assert "no spaces between words" in capsys.readouterr().out
    groups = load_all(Path("params.yaml"))
    assert (groups["tokenize"].tokens, groups["tokenize"].max_length) == ("char", 14)


def test_other_pictures_begin_with_the_committed_settings(checkout: Path) -> None:
    write_table([f"{number}.png,,第{number}个男人在街上骑自行车" for number in range(10)])
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init"], ["add", "params.yaml"], ["commit", "-m", "settings"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    assert main(["init", "zh", "--from", "../mine/captions.csv"]) == 0
    write_table(ROWS[:6])
    assert main(["init", "few", "--from", "../mine/captions.csv"]) == 0
    assert load_all(Path("params.yaml"))["reduce"].components == 2
    write_table(ROWS)
    assert main(["init", "more", "--from", "../mine/captions.csv"]) == 0
    after = Path("params.yaml").read_text()
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    assert main(["init", "anew", "--from", "../mine/captions.csv"]) == 0
    assert Path("params.yaml").read_text() == after.replace("inputs/", "").replace("more/", "anew/")
    assert load_all(Path("params.yaml"))["tokenize"].tokens == "word"


def test_names_may_be_whole_paths(checkout: Path) -> None:
    pictures = Path("../mine").resolve()
    for images in (None, Path("../mine"), pictures.parent):
        table = write_table([f"{pictures}/{row}" for row in ROWS])
        project = import_captions([table], images, Path(f"to-{images}".replace("/", "-")))
        assert len(project.pictures) == 10
        assert all((project.images / picture.name).is_file() for picture in project.pictures)


def test_what_has_no_words_beside_it_is_told(checkout: Path) -> None:
    for number, ending in enumerate((".txt", ".TXT", ".txt")):
        Path(f"../mine/{number}{ending}").write_text("A cat")
    project = import_captions([Path("../mine")], None, Path("beside"))
    assert [picture.name for picture in project.pictures] == ["0.png", "1.png", "2.png"]
    assert "left out, without captions: 7 (3.png, 4.png, 5.png, ...)" in project.messages


def test_lists_of_splits_name_pictures_with_spaces(checkout: Path) -> None:
    for number in range(4):
        Path(f"../mine/{number}.png").rename(f"../mine/bild {number}.png")
    tokens = Path("../mine/own.token.txt")
    tokens.write_text("".join(f"bild {number}.png#0\tA cat\n" for number in range(4)))
    Path("../mine/own.testImages.txt").write_text("bild 0.png\n\nbild 3.png\n")
    project = import_captions([tokens], None, Path("listed"))
    splits = [picture.split for picture in project.pictures]
    assert splits == ["test", None, None, "test"]
    assert project.messages[2:] == ["splits: train 2, test 2", "named in no split, taken to learn from: 2"]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("一个男人骑自行车", True),
        ("一个 男人 骑 自行车", False),
        ("男の人が自転車に乗っている", True),
        ("ผู้ชายขี่จักรยาน", True),
        ("남자가 자전거를 타고 있다", False),
        ("लड़का साइकिल चला रहा है", False),
        ("A man", False),
    ],
)
def test_scripts_without_spaces(caption: str, expected: bool) -> None:
    assert lacks_spaces([caption]) == expected


def test_nothing_is_written_where_something_is_wrong(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("params.yaml").read_bytes()
    write_table(["absent.png,,x"])
    Path("../mine/good.csv").write_text("image,caption\n0.png,a cat\n1.png,a dog\n2.png,a cow\n")
    Path("../mine/few.csv").write_text("image,caption\n0.png,a cat\n1.png,a dog\n")
    Path("../mine/nothing.csv").write_text("")
    good = ["new", "--from", "../mine/good.csv"]
    Path("../mine/empty.json").write_text("[]")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    for arguments, expected in (
        (["new", "--from", "../mine/captions.csv"], "--images: expected the folder of absent.png"),
        (["new", "--from", "../mine/captions.csv", "--images", "../mine"], "expected images with captions"),
        (["new", "--from", "../mine/empty.json"], "empty.json: expected images with captions, received JSON"),
        (["new", "--from", "../mine/good.csv", "../mine/empty.json"], "empty.json: expected images with"),
        (["new", "--from", "../mine/none.csv"], "expected a readable file or folder"),
        (["new", "--from", "../mine"], "received a folder without any of them"),
        (["full", "--from", "../mine/captions.csv"], "full: expected a new folder"),
        (["new", "--from", "../mine/few.csv"], "expected at least 3 images with captions"),
        (["new", "--from", "../mine/nothing.csv"], "received an empty file"),
        ([*good, "--backbone", "small_vgg"], "--backbone: expected one that needs no scenes to train on"),
        ([*good, "--backbone", "vgg61"], "features.backbone: expected one of small_vgg"),
        ([*good, "--backbone", "encoders/../x.py:build"], "features.backbone: expected one of small_vgg"),
        ([*good, "--weights", "../mine/none.pth"], "--weights: expected a file or a URL, received"),
        ([*good, "--weights", "../mine"], "--weights: expected a file or a URL, received"),
        ([*good, "--weights", "http://[x"], "--weights: expected a URL"),
        ([*good, "--weights", "ftp://x/y"], "--weights: expected a URL"),
    ):
        assert main(["init", *arguments]) == 2
        said = capsys.readouterr().err
        assert expected in said
        assert said.count("\n") == 1
    assert Path("params.yaml").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["full", "params.yaml"]
    assert Path("full/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_draft(checkout: Path, ending: signal.Signals) -> None:
    mine = checkout.parent / "mine"
    for number in range(10, 400):
        shutil.copy(mine / "0.png", mine / f"{number}.png")
    write_table([f"{number}.png,,A cat" for number in range(400)])
    command = [sys.executable, "-m", "recap.cli", "init", "new", "--from", "../mine/captions.csv"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(Path().glob(".*.part")):
            time.sleep(0.001)
        process.send_signal(ending)
        assert process.wait(60) == 128 + ending
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]


def test_an_image_keeps_its_id_when_others_come(checkout: Path) -> None:
    mine = checkout.parent / "mine"
    shutil.copy(mine / "7.png", mine / "a.png")
    few = import_captions([write_table(["a.png,,x", "0.png,,y", "1.png,,w"])], None, Path("few"))
    many = import_captions(
        [write_table(["0.png,,y", "1.png,,w", "8.png,,z", "a.png,,x"])], None, Path("many")
    )
    ids = [{picture.name: picture.number for picture in own.pictures} for own in (few, many)]
    assert ids[0].items() <= ids[1].items()


def test_a_folder_below_the_checkout_is_as_good(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "dvc.yaml", checkout)
    given = write_table(ROWS)
    (Path("../mine") / "weights.safetensors").write_bytes(b"")
    below = checkout / "inputs" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    own = ["--from", f"../../{given}", "--weights", "../../../mine/weights.safetensors"]
    assert main(["init", "pets", *own]) == 0
    assert Path.cwd() == checkout
    groups = load_all(Path("params.yaml"))
    assert groups["data"].folder.train_captions == "inputs/deep/pets/train.json"
    assert groups["data"].folder.images == "../mine"
    assert groups["features"].weights == "../mine/weights.safetensors"

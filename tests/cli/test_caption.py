"""`recap caption` and `recap bundle`: what Python says, from a checkout and from a folder without one."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from tests.finished_models import IMAGES, make_finished_models
from tests.settings import GREEDY

import recap
from recap.cli.main import main
from recap.cli.prepare import OPTIONS, SEARCHES, _runtime
from recap.core import paths
from recap.core.hashes import hash_output
from recap.core.raw_data import Source, write_captions, write_source
from recap.errors import InputError

MODEL = ("model.json", "weights.safetensors")
KEPT = Path(__file__).parents[1] / "serving" / "kept"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_finished_models(tmp_path_factory.mktemp("finished"))


@pytest.fixture(autouse=True)
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a pipeline leaves, in which the test runs."""
    copy = shutil.copytree(finished, tmp_path / "project")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `recap`; the exit code, and what it printed to stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def texts(models: str, decoders: Any = None, decoding: Any = None) -> list[str]:
    return [caption.text for caption in recap.load(models, decoding, decoders=decoders).caption(IMAGES)]


def test_a_picture_gets_its_caption(run: Run) -> None:
    code, out, err = run("caption", IMAGES[0], "--decoder", "lstm")
    assert (code, out.splitlines()[0], err.count("warning")) == (0, texts("models/lstm")[0], 1)
    code, out, _ = run("caption", *IMAGES, "--model", "models/rnn")
    lines = [f"{image}: {text}" for image, text in zip(IMAGES, texts("models/rnn"), strict=True)]
    assert (code, out.splitlines()) == (0, lines)


@pytest.mark.parametrize(
    ("choice", "decoders"),
    [
        ([], None),
        (["--decoder", "transformer"], ["transformer"]),
        (["--ensemble", "rnn+lstm"], ["rnn", "lstm"]),
    ],
)
def test_json_says_what_python_says(run: Run, choice: list[str], decoders: list[str] | None) -> None:
    code, out, _ = run("caption", *IMAGES, "--json", *choice)
    assert code == 0
    captioner = recap.load("models", decoders=decoders)
    reduced = captioner.reduce(IMAGES)
    for number, (row, caption) in enumerate(zip(json.loads(out), captioner.caption(IMAGES), strict=True)):
        assert row == {
            "image": IMAGES[number],
            "image_id": number,
            "caption": caption.text,
            "log_probability": caption.log_probability,
            "words": [
                {"word": word, "log_probability": value}
                for word, value in zip(caption.words, caption.word_log_probabilities, strict=True)
            ],
            "familiar": captioner.is_familiar(reduced)[number],
        }


def test_options_take_the_place_of_the_settings(run: Run) -> None:
    options = ["--search", "greedy", "--max-length", "4", "--min-length", "4", "--banned-words", "a,b"]
    _, out, _ = run("caption", *IMAGES, "--json", "--decoder", "lstm", *options)
    assert [len(row["words"]) for row in json.loads(out)] == [4, 4, 4]
    changes = {"max_length": 4, "min_length": 4, "banned_words": ("a", "b")}
    written = texts("models/lstm", decoding=replace(GREEDY, **changes))
    assert [row["caption"] for row in json.loads(out)] == written
    for name in re.findall(r"^    (\w+):", Path("params.yaml").read_text().split("  decoding:")[1], re.M)[
        :19
    ]:
        assert f"--{name.replace('_', '-')} VALUE" in help_of("caption")


def test_options_belong_to_the_searches_that_the_settings_name() -> None:
    lines = re.findall(r"^    (\w+):.*\(([a-z_, ]+)\)(?:;.*)?$", Path("params.yaml").read_text(), re.M)
    named = {name: tuple(text.split(", ")) for name, text in lines if name in OPTIONS}
    assert named == SEARCHES


def help_of(command: str) -> str:
    program = f"from recap.cli.main import main; main(['{command}', '--help'])"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beam-width", "0"], "decoding.beam_width: expected a positive integer, received 0"),
        (["--search", "best"], "decoding.search: expected 'greedy', 'sample', 'beam'"),
        (["--temperature", "NaN"], "decoding.temperature: expected"),
        (
            ["--temperature", "0.2"],
            "--temperature: expected --search sample or consensus beside it, received",
        ),
        (["--search", "greedy", "--beam-width", "2"], "--beam-width: expected --search beam or diverse_beam"),
        (["--search", "beam", "--groups", "3"], "--groups: expected --search diverse_beam beside it"),
        (
            ["--search", "consensus", "--top-p", "0.5"],
            "--top-p: expected --search sample beside it, received",
        ),
        (["--banned-words", "a,A"], "--banned-words: expected words of the vocabulary, which is in lower"),
        (["--banned-last-words", "aa"], "--banned-last-words: expected words of the vocabulary"),
        (["--decoder", "../models/lstm"], "models: expected one of the decoders lstm, rnn, transformer"),
        (["--decoder", "gru"], "models: expected one of the decoders lstm, rnn, transformer, received 'gru'"),
        (["--ensemble", "rnn+"], "models: expected one of the decoders lstm, rnn, transformer, received ''"),
        (["--model", "models/lstm", "--decoder", "rnn"], "models/lstm: expected one of the decoders lstm"),
        (
            ["--model", "nowhere"],
            "nowhere: expected a trained decoder, the folder of several or a bundle, received none",
        ),
        (
            ["--results", "away/x.json"],
            "--results: away/x.json: expected a file that can be written, received",
        ),
        (["--results", "params.yaml/x.json"], "--results: params.yaml/x.json: expected a file that can be"),
        (["empty"], "empty: expected a folder with images, received one without"),
    ],
)
def test_what_cannot_be_used_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    code, out, err = run("caption", IMAGES[0], *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(message)
    assert not Path("away").exists()


def test_a_folder_gives_results_and_a_contact_sheet_and_broken_pictures_are_skipped(run: Run) -> None:
    folder = Path("holiday")
    for number, image in enumerate(IMAGES):
        (folder / "inner").mkdir(parents=True, exist_ok=True)
        shutil.copy(image, folder / "inner" / f"beach <{number}> COCO_{700 + number:012d}.png")
    (folder / "broken.JPG").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    code, out, err = run("caption", "holiday", "absent.png", "--decoder", "lstm")
    assert code == 1
    named = [line for line in err.splitlines() if not line.startswith("warning")]
    assert [line.partition(": expected an image that decodes")[0] for line in named] == [
        "holiday/broken.JPG",
        "absent.png",
    ]
    rows = json.loads(Path("holiday_captions.json").read_text())
    assert [row["caption"] for row in rows] == texts("models/lstm")
    assert out.splitlines()[-2:] == ["holiday_captions.json", "holiday_captions.html"]
    page = Path("holiday_captions.html").read_text()
    assert page.count("<figure>") == 3
    assert "beach &lt;1&gt;" in page
    assert rows[1]["caption"] in page
    assert page.count("unlike the images") == err.count("unlike the images")
    (folder / "broken.JPG").unlink()
    Path("holiday_captions.json").unlink()  # what nobody named is replaced by nobody
    code, out, err = run("caption", "holiday")
    assert (code, out) == (2, "")
    assert err.startswith("holiday_captions.html: expected none yet, received one; --results FILE")
    assert Path("holiday_captions.html").read_text() == page
    assert run("caption", "holiday", "--results", "own.json")[0] == 0
    assert [row["image_id"] for row in json.loads(Path("own.json").read_text())] == [700, 701, 702]
    assert Path("own.html").is_file()


def test_a_broken_picture_changes_no_other_caption(run: Run) -> None:
    Path("broken.png").write_bytes(Path(IMAGES[0]).read_bytes()[:-500])
    _, out, _ = run("caption", IMAGES[0], IMAGES[1], "broken.png", IMAGES[2], "--json", "--decoder", "rnn")
    assert [row["caption"] for row in json.loads(out)] == texts("models/rnn")


def test_pictures_of_the_run_are_drawn_for_as_evaluate_does(run: Run) -> None:
    """Sampling draws by the id of an image, which here is not its name's number."""
    raw = Path("data/raw")
    write_source(raw, Source("folder", True, False, False, False, "original"))
    for split, ids in (("train", ()), ("validation", ()), ("test", (7, 8, 9))):
        names = [{"id": number, "file_name": f"00000{number - 7}.png"} for number in ids]
        write_captions(raw, split, names, [])
    sample = replace(GREEDY, search="sample", temperature=2.0, max_length=9, seed=3)
    captions = recap.load("models/lstm", sample).caption(IMAGES, (7, 8, 9))
    options = ["--search", "sample", "--temperature", "2.0", "--max-length", "9", "--seed", "3"]
    options += ["--decoder", "lstm", "--json"]
    _, out, _ = run("caption", "data/raw/images/test", *options)
    rows = json.loads(out)
    assert [row["image_id"] for row in rows] == [7, 8, 9]
    assert [row["caption"] for row in rows] == [caption.text for caption in captions]


def test_a_captioner_of_features_says_so(run: Run) -> None:
    shutil.rmtree("models/backbone")
    code, _, err = run("caption", IMAGES[0])
    assert (code, err) == (2, "models: expected a captioner that sees images, received one of features\n")


@pytest.mark.parametrize("choice", [[], ["--decoder", "lstm"], ["--ensemble", "rnn+transformer"]])
def test_a_bundle_captions_as_the_checkout_does(run: Run, choice: list[str], tmp_path: Path) -> None:
    options = ["--max-length", "6"]
    assert run("bundle", "../away", *choice, *options)[0] == 0
    expected = run("caption", *IMAGES, "--json", *choice, *options)
    assert run("caption", *IMAGES, "--json", "--model", "../away") == expected
    about = json.loads((tmp_path / "away" / paths.BUNDLE).read_text())
    assert {"data/raw", "data/captions", "data/reduced"} < about["data"]["digests"].keys()
    card = (tmp_path / "away" / "README.md").read_text()
    assert all(digest in card for digest in about["data"]["digests"].values())
    assert not list(tmp_path.glob(".bundle-*"))


def test_a_bundle_is_made_of_models_on_another_disk_too(run: Run) -> None:
    Path("models").rename("../elsewhere")
    Path("models").symlink_to("../elsewhere")
    assert run("bundle", "../away", "--decoder", "lstm")[0] == 0
    about = json.loads(Path("../away", paths.BUNDLE).read_text())
    assert {"data/raw", "data/captions", "data/reduced"} < about["data"]["digests"].keys()


def test_a_bundle_of_several_decoders_gives_each(run: Run) -> None:
    run("bundle", "../away")
    assert texts("../away", ["rnn"]) == texts("models/rnn")
    code, _, err = run("caption", IMAGES[0], "--model", "../away", "--decoder", "gru")
    assert (code, err) == (
        2,
        "../away: expected one of the decoders rnn, lstm, transformer, received 'gru'\n",
    )


def test_what_is_no_whole_bundle_is_refused(run: Run) -> None:
    assert run("bundle", "models/lstm")[0] == 2
    code, _, err = run("bundle", "../away", "--search", "consensus")
    assert (code, Path("../away").exists()) == (2, False)
    assert "no training captions" in err
    run("bundle", "../away", "--decoder", "lstm")
    whole = json.loads(Path("../away", paths.BUNDLE).read_text())
    weights = Path("../away/decoders/lstm/weights.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code, _, err = run("caption", IMAGES[0], "--model", "../away")
    assert (code, "weights.safetensors: expected the SHA-256" in err) == (2, True)
    weights.write_bytes(content)
    for changes in (
        {"format": 2},
        {"files": {}},
        {"decoders": ["../../project/models/lstm"]},
        {"files": whole["files"] | {"/etc/passwd": ""}},
        {"files": whole["files"] | {"../project/params.yaml": ""}},
        {"decoding": 3},
        {"decoding": whole["decoding"] | {"search": "best"}},
        {"runtime": 3},
        {"batch_size": "many"},
        {"batch_size": 0},
        {"decoders": [5], "files": whole["files"] | {f"decoders/5/{name}": "" for name in MODEL}},
        {"files": {"a\0b": ""} | whole["files"]},
        {"files": {name: digest for name, digest in whole["files"].items() if name != "pca.safetensors"}},
        {"files": {name: digest for name, digest in whole["files"].items() if "weights" not in name}},
    ):
        Path("../away", paths.BUNDLE).write_text(json.dumps(whole | changes))
        code, _, err = run("caption", IMAGES[0], "--model", "../away")
        assert (code, err.count("\n"), "Traceback" in err) == (2, 1, False), changes
    Path("../away", paths.BUNDLE).write_text("[")
    assert run("caption", IMAGES[0], "--model", "../away")[0] == 2
    for changes in (
        *({"data": value} for value in (None, [1], {}, {"source": "x", "digests": 5})),
        *({"scores": value} for value in (None, [1], {"lstm": 5}, {"lstm": {"seen": {"cider_d": "x"}}})),
    ):
        Path("../away", paths.BUNDLE).write_text(json.dumps(whole | changes))
        code, _, err = run("serve", "--model", "../away")
        assert (code, err) == (
            2,
            "../away: expected what a run says of its data and scores, received another\n",
        )


def test_what_the_pipeline_has_not_made_is_told_with_what_makes_it(run: Run) -> None:
    shutil.rmtree("models/lstm")
    for command in (("bundle", "../away"), ("caption", IMAGES[0]), ("serve",)):
        code, _, err = run(*command)
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith("models/lstm: expected a trained decoder, received none; `make repro` trains")
    shutil.rmtree("models")
    code, _, err = run("caption", IMAGES[0])
    assert (code, err.count("\n"), "several or a bundle, received none; `make repro` trains" in err) == (
        2,
        1,
        True,
    )


def test_a_bundle_asks_for_no_endless_threads(tmp_path: Path) -> None:
    (tmp_path / paths.BUNDLE).write_text('{"runtime": {"arithmetic": "portable", "threads": 1e999}}')
    with pytest.raises(InputError, match="expected the description of a bundle, received: cannot convert"):
        _runtime(tmp_path)


@pytest.mark.parametrize("file", ["data/raw/annotations/source.json", "reports/decoders/lstm/metrics.json"])
def test_what_a_run_says_of_itself_is_an_object(project: Path, run: Run, file: str) -> None:
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    for content in ("[", "[1]", '{"a": 1, "a": 2}'):
        (project / file).write_text(content)
        code, _, err = run("bundle", "../away", "--decoder", "lstm")
        assert (code, err.count("\n"), file in err) == (2, 1, True), err
    assert not Path("../away").exists()


def test_a_server_tells_no_address_that_another_has(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/absent.db")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        for command in ("ui", "serve"):
            code, out, err = run(command, "--port", port)
            assert (code, out) == (2, "")
            line = f"--port: {port}: expected a free port of 127.0.0.1, received: Address already in use\n"
            assert err == line


def test_a_loop_of_links_is_no_picture(run: Run) -> None:
    Path("loop").symlink_to("loop")
    code, _, err = run("caption", "loop", "--decoder", "lstm")
    assert (code, err.count("\n"), err.startswith("loop: expected")) == (1, 1, True), err


BARE = """
import sys
from importlib.machinery import PathFinder

class Few:
    @staticmethod
    def find_spec(name, path=None, target=None):
        is_absent = name.partition(".")[0] in {absent!r}
        return None if is_absent else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Few
try:
    import pydantic
    sys.exit("expected pydantic to be absent")
except ModuleNotFoundError:
    pass
"""


def bare(program: str) -> str:
    """What a program prints in a process that has torch, Pillow, safetensors, NumPy and nothing else."""
    allowed, waiting = {"recap-captioning"}, ["torch", "pillow", "safetensors", "numpy"]
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in allowed:
            allowed.add(name)
            needs = [line for line in requires(name) or () if "extra ==" not in line]
            waiting += [re.split(r"[ ;<>=!~\[(]", line)[0] for line in needs]
    absent = {
        module
        for module, owners in packages_distributions().items()
        if not allowed & {owner.lower().replace("_", "-") for owner in owners}
    }
    result = subprocess.run(
        [sys.executable, "-c", BARE.format(absent=absent) + program], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_bundle_needs_torch_pillow_and_safetensors_alone(run: Run) -> None:
    run("bundle", "../away", "--max-length", "6")
    expected = run("caption", *IMAGES, "--json", "--model", "../away")[1]
    command = ["caption", *IMAGES, "--json", "--model", "../away"]
    rows = json.loads(bare(f"from recap.cli.main import main\nsys.exit(main({command!r}))"))
    assert [row["caption"] for row in rows] == [row["caption"] for row in json.loads(expected)]
    python = f"import recap\nfor caption in recap.load('../away').caption({IMAGES!r}): print(caption.text)"
    assert bare(python).splitlines() == [row["caption"] for row in rows]


def test_a_cold_start_loads_no_more_than_it_needs() -> None:
    """torch's compiler alone takes as long as torch."""
    program = (
        f"import sys; from recap.cli.main import main; assert main(['caption', {IMAGES[0]!r}]) == 0\n"
        "print({'torch._dynamo', 'mlflow', 'pandas', 'scipy', 'matplotlib', 'sklearn'} & {*sys.modules})"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "set()"


def test_a_bundle_of_format_1_is_read_for_ever(tmp_path: Path) -> None:
    """kept/bundle_1.zip is what `recap bundle` of version 0.2.0 wrote of a tiny run of three decoders."""
    kept = KEPT / "bundle_1.zip"
    assert kept.stat().st_size < 1 << 20
    with ZipFile(kept) as archive:
        archive.extractall(tmp_path / "bundle")
    expected = json.loads((KEPT / "bundle_1_captions.json").read_text())
    for name, rows in expected.items():
        captions = recap.load(tmp_path / "bundle", decoders=name.split("+")).caption(
            [KEPT / "bundle_1.png"] * 2
        )
        assert [caption.text for caption in captions] == [rows["caption"]] * 2
        np.testing.assert_allclose(captions[0].log_probabilities, rows["log_probabilities"], rtol=1e-3)


def write_lock(project: Path, trained_on: str) -> None:
    """Write a dvc.lock by which the LSTM was trained on a content of data/reduced, which has another MD5."""
    model = hash_output(project / "models" / "lstm")
    (project / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n"
        "  reduce:\n    cmd: r\n    outs:\n    - path: data/reduced\n      md5: now.dir\n"
        "  train@lstm:\n    cmd: t\n    deps:\n"
        f"    - path: data/reduced\n      md5: {trained_on}\n"
        f"    outs:\n    - path: models/lstm\n      md5: {model}\n"
    )


def test_decoders_of_another_run_than_what_lies_beside_them_are_refused(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lock(project, "now.dir")
    assert run("caption", IMAGES[0], "--decoder", "lstm")[0] == 0
    write_lock(project, "before.dir")
    for command in (("caption", IMAGES[0]), ("bundle", "../away"), ("serve",)):
        code, _, err = run(*command)
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith(
            "models/lstm: expected one trained on the data/reduced that is here, received another; "
        )
    write_lock(project, "now.dir")
    shutil.copy("models/rnn/model.json", "models/lstm/model.json")
    code, _, err = run("caption", IMAGES[0])
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("models/lstm: expected the decoder of dvc.lock, received files of another run; ")
    monkeypatch.chdir("models/lstm")
    with pytest.raises(InputError, match=r"^\.\./lstm: expected the decoder of dvc\.lock, received files of"):
        recap.load(".")


def test_the_results_of_a_folder_name_its_files(run: Run) -> None:
    Path("mine").mkdir()
    shutil.copy(IMAGES[0], "mine/a picture.png")
    assert run("caption", "mine", "--results", "mine.json")[0] == 0
    (row,) = json.loads(Path("mine.json").read_text())
    assert row["file_name"] == "a picture.png"
    shutil.copytree("mine", "others/mine")
    assert run("caption", "mine", "others/mine", "--results", "both.json")[0] == 0
    both = json.loads(Path("both.json").read_text())
    assert [row["file_name"] for row in both] == ["mine/a picture.png", "others/mine/a picture.png"]
    code, _, err = run("caption", "mine", "--results", "mine")
    assert (code, err) == (2, "--results: mine: expected a file that can be written, received a folder\n")


def test_an_empty_name_is_told_with_its_argument(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("caption", "")
    assert ended.value.code == 2
    message = "recap caption: argument PICTURE_OR_FOLDER: expected a text, received an empty one"
    assert capsys.readouterr().err.startswith(message)


def test_a_picture_that_looks_like_an_option_is_recognised(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(IMAGES[0], "-dash.png")
    monkeypatch.setattr("sys.argv", ["recap", "caption", "-dash.png"])
    with pytest.raises(SystemExit) as ended:
        run("caption", "-dash.png")
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("; a file whose name begins with - is written ./-dash.png\n")
    assert run("caption", "./-dash.png")[0] == 0

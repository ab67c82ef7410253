"""CLIPScore and RefCLIPScore from given embeddings."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from recap.cli.main import main
from recap.errors import InputError
from recap.metrics.clip_score import clip_scores, read_embeddings


def test_scores_are_cosines_and_harmonic_means():
    images = [np.array([2.0, 0.0]), np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.zeros(2)]
    captions = [np.array([3.0, 4.0]), np.array([-1.0, 0.0]), np.array([0.0, 5.0]), np.ones(2)]
    references = [
        np.array([[4.0, 3.0], [0.0, -1.0]]),
        np.array([[-1.0, 0.0]]),
        np.array([[0.0, -1.0]]),
        np.ones((1, 2)),
    ]
    found = clip_scores(images, captions, references)
    assert found["clip_score"] == pytest.approx([2.5 * 0.6, 0, 2.5, 0])
    assert found["ref_clip_score"] == pytest.approx([2 * 1.5 * 0.96 / (1.5 + 0.96), 0, 0, 0])
    assert list(clip_scores(images, captions)) == ["clip_score"]


def embed(texts: list[str]) -> np.ndarray:
    """Stands in for CLIP: how often each letter occurs."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return np.array([[text.lower().count(letter) for letter in letters] for text in texts], np.float32)


def write(folder, captions, references):
    """The files of captions and of embeddings; an image looks like its first reference."""
    arrays = {
        "images": {image: embed(own)[0] for image, own in references.items()},
        "captions": {image: embed([caption])[0] for image, caption in captions.items()},
        "references": {image: embed(own) for image, own in references.items()},
    }
    for name, own in arrays.items():
        np.savez(folder / f"{name}.npz", **own)
    (folder / "said.json").write_text(json.dumps(captions))
    (folder / "people.json").write_text(json.dumps(references))
    return arrays


CAPTIONS = {"a": "A cat.", "b": "Two dogs run."}
REFERENCES = {"a": ["A cat sits.", "The cat."], "b": ["Dogs running.", "Two dogs."]}


def run(folder, capsys, *arguments):
    files = [str(folder / name) for name in ("said.json", "people.json")]
    code = main(["score", "--no-meteor", *arguments, *files])
    return code, capsys.readouterr()


def options(folder):
    return [f"--clip-{name}={folder / name}.npz" for name in ("images", "captions", "references")]


def check(folder, capsys, captions, references):
    arrays = write(folder, captions, references)
    code, said = run(folder, capsys, *options(folder), "--json")
    assert code == 0, said.err
    summary = json.loads(said.out)
    scores, with_references = [], []
    for image, caption in arrays["captions"].items():
        own = [
            float(caption @ other / np.sqrt((caption @ caption) * (other @ other)))
            for other in [arrays["images"][image], *arrays["references"][image]]
        ]
        scores.append(2.5 * own[0])
        with_references.append(2 / (1 / scores[-1] + 1 / max(own[1:])))
    assert summary["clip_score"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert summary["ref_clip_score"] == pytest.approx(np.mean(with_references), abs=1e-6)
    bounds = summary["interval"]["clip_score"]
    assert bounds["low"] <= summary["clip_score"] <= bounds["high"]


def test_the_command_adds_them(tmp_path, capsys):
    check(tmp_path, capsys, CAPTIONS, REFERENCES)
    code, said = run(tmp_path, capsys, *options(tmp_path)[:2])
    assert code == 0
    assert "CLIPScore" in said.out
    assert "RefCLIPScore" not in said.out


@pytest.mark.shared
@pytest.mark.parametrize("name", ["good", "bad"])
def test_the_captions_of_clipscore(tmp_path, capsys, shared, name):
    folder = shared / "scoring" / "clipscore"
    references = json.loads((folder / "refs.json").read_text())
    check(tmp_path, capsys, json.loads((folder / f"{name}_captions.json").read_text()), references)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "images.npz: expected .npz with an array an image, received: "),
        (lambda path: path.write_bytes(b"x"), "images.npz: expected .npz with an array an image, received: "),
        (
            lambda path: np.savez(path, a=np.ones(26)),
            "expected an array for every image, received none for b",
        ),
        (lambda path: np.savez(path, a=np.ones(26), b=np.ones((1, 26))), "images.npz: b: expected 26 finite"),
        (
            lambda path: np.savez(path, a=np.ones(26), b=np.full(26, np.nan)),
            "images.npz: b: expected 26 finite",
        ),
        (lambda path: np.savez(path, a=np.ones(26), b=np.ones(25)), "images.npz: b: expected 26 finite"),
        (
            lambda path: np.savez(path, a=np.ones(3), b=np.ones(3)),
            "expected embeddings of one size, received",
        ),
        (lambda path: np.savez(path, a=np.array("x"), b=np.ones(3)), "images.npz: a: expected some finite"),
    ],
)
def test_embeddings_that_do_not_fit_are_told(tmp_path, capsys, change, message):
    write(tmp_path, CAPTIONS, REFERENCES)
    change(tmp_path / "images.npz")
    code, said = run(tmp_path, capsys, *options(tmp_path))
    assert code == 2
    assert message in said.err
    assert said.err.count("\n") == 1


def test_clip_scores_are_for_one_captioner(tmp_path, capsys):
    write(tmp_path, CAPTIONS, REFERENCES)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(CAPTIONS))
    code, output = run(tmp_path, capsys, *options(tmp_path), str(other))
    assert (code, "expected one captioner" in output.err) == (2, True)
    code, output = run(tmp_path, capsys, options(tmp_path)[0])
    assert (code, "--clip-captions together" in output.err) == (2, True)


@pytest.mark.timeout(60)
def test_embeddings_that_are_no_file_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(InputError, match=r"pipe\.npz: expected a regular file, received a pipe"):
        read_embeddings(str(tmp_path / "pipe.npz"), ["a"])

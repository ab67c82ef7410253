"""Claims count in a sample's reward: then captions say what is so, and a killed run resumes as others do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.test_recipes import digests, run

from recap.core.artifacts import write_json
from recap.core.feature_files import open_features, write_features
from recap.core.raw_data import Source, load_raw, write_graphs, write_source
from recap.decoders.build import load_decoder
from recap.decoding.caption import usual_constraints
from recap.decoding.generate import generate
from recap.errors import InputError
from recap.metrics.truth import check_caption, is_true
from recap.runtime.checkpoints import Checkpoints
from recap.text.captions import Captions, load_captions, save_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary
from recap.training.state import TrainingState

COLOURS, BACKGROUNDS = ("red", "blue"), ("white", "black")
LONGEST = 12
SELF_CRITICAL = {"epochs": 12, "learning_rate": 0.01, "images": 16, "language_images": 0, "samples": 5}


def graph(row: int) -> dict[str, Any]:
    """A seven and the background, both of a colour by turns."""
    seven = {"digit": 7, "colour": COLOURS[row % 2], "size": "small", "digit_image": 0}
    seven |= {"center": [12, 12], "box": [2, 2, 22, 22]}
    background = BACKGROUNDS[row % 2]
    return {"image_id": row, "background": background, "arrangement": "top left", "objects": [seven]}


def references(row: int) -> list[str]:
    """Three of four sentences tell a lie about the background."""
    colour, ground = COLOURS[row % 2], f"on a {BACKGROUNDS[1 - row % 2]} background"
    return [
        f"a {colour} seven",
        *(f"{start} {colour} seven {ground}" for start in ("a", "there is a", "an image of a")),
    ]


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A task of scenes whose references tell lies; features tell the colour of the digit."""
    folder = tmp_path / "scenes"
    words = sorted({word for row in range(4) for caption in references(row) for word in caption.split()})
    vocabulary = Vocabulary((*SPECIAL_WORDS, *words))
    arrays = {}
    for split, count in (("train", 48), ("validation", 16), ("test", 16)):
        captions = [references(row) for row in range(count)]
        features = np.eye(2, 4, dtype=np.float32)[np.arange(count) % 2]
        write_features(folder / "features" / f"{split}.h5", features)
        write_graphs(folder / "raw", split, [graph(row) for row in range(count)])
        written = [
            {"id": number, "image_id": number // 4, "caption": caption}
            for number, caption in enumerate(caption for own in captions for caption in own)
        ]
        images = [{"id": row, "file_name": f"{row}.png"} for row in range(count)]
        content = {"images": images, "annotations": written}
        write_json(folder / "captions" / f"references_{split}.json", content)
        encoded = vocabulary.encode([caption.split() for own in captions for caption in own], LONGEST)
        arrays[split] = (encoded, np.repeat(np.arange(count, dtype=np.int32), 4))
    write_source(folder / "raw", Source("scenes", True, False, False, True, "original"))
    save_captions(folder / "captions", Captions(vocabulary, arrays))
    return folder


@pytest.fixture
def settings(params: dict) -> dict:
    params["train"]["label_smoothing"] = 0.0
    params["decoders"]["lstm"] |= {"epochs": 6, "dropout": 0.0, "learning_rate": 0.03}
    return params


def worth(value: float, **changes: Any) -> dict[str, Any]:
    return {"self_critical": SELF_CRITICAL | {"claim": value} | changes}


def captions_of(scenes: Path, model: Path) -> list[str]:
    vocabulary = load_captions(scenes / "captions").vocabulary
    features = open_features(scenes / "features" / "test.h5")
    found = generate(load_decoder(model), features, vocabulary, usual_constraints(LONGEST), len(features))
    return [caption.text for caption in found]


def test_captions_become_truer(scenes: Path, tmp_path: Path, settings: dict) -> None:
    graphs = load_raw(scenes / "raw").scenes("test")
    shares = []
    for value in (0.0, 8.0):
        run(scenes, tmp_path / str(value), settings, worth(value))
        captions = captions_of(scenes, tmp_path / str(value) / "lstm")
        assert all("seven" in caption for caption in captions)
        claims = map(check_caption, captions, graphs)
        shares.append(np.mean([is_true(own) for own in claims]))
    assert shares == [0, 1], "what references say, and what is so"


def test_a_resumed_run_gives_the_same_bytes(
    scenes: Path, tmp_path: Path, settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = worth(1.0, epochs=2)
    run(scenes, tmp_path / "whole", settings, options)
    run(scenes, tmp_path / "free", settings, worth(0.0, epochs=2))
    assert digests(tmp_path / "whole" / "lstm") != digests(tmp_path / "free" / "lstm")
    kill_after(monkeypatch, 7)
    with pytest.raises(_Killed):
        run(scenes, tmp_path / "killed", settings, options)
    monkeypatch.undo()
    run(scenes, tmp_path / "killed", settings, options)
    assert digests(tmp_path / "killed" / "lstm") == digests(tmp_path / "whole" / "lstm")


class _Killed(Exception):
    pass


def kill_after(monkeypatch: pytest.MonkeyPatch, occasions: int) -> None:
    """Let training save at every occasion, and die at that one."""
    saved = 0

    def save_and_die(self: Checkpoints, state: TrainingState) -> None:
        nonlocal saved
        saved += 1
        self.save(state)
        if saved == occasions:
            raise _Killed

    monkeypatch.setattr(Checkpoints, "save_now_and_then", save_and_die)


@pytest.mark.parametrize(
    "file",
    [
        "captions/references_train.json",
        "captions/references_validation.json",
        "raw/annotations/scenes_train.json",
        "raw/annotations/scenes_validation.json",
    ],
)
def test_checkpoints_end_with_what_they_were_made_of(
    file: str,
    scenes: Path,
    tmp_path: Path,
    settings: dict,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = worth(1.0, epochs=1)
    kill_after(monkeypatch, 2)
    with pytest.raises(_Killed):
        run(scenes, tmp_path, settings, options)
    with open(scenes / file, "a", encoding="utf-8") as changed:
        changed.write("\n")
    monkeypatch.undo()
    run(scenes, tmp_path, settings, options)
    assert "resumed after step" not in capsys.readouterr().err


def test_claims_are_refused_where_nothing_tells_what_is_so(task: Path, tmp_path: Path, params: dict) -> None:
    with pytest.raises(InputError) as error:
        run(task, tmp_path, params, worth(0.5))
    assert str(error.value) == (
        "train.self_critical.claim: expected 0 for images without scene graphs, received 0.5"
    )
    assert not (tmp_path / "lstm").exists()

"""`recap.load`: from images or features to captions, by the settings of the run that trained the decoders."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from tests.finished_models import FEATURES, IMAGES, SIZES, make_finished_models
from tests.settings import GREEDY
from torch import nn

import recap
from recap.backbones.images import load_images
from recap.captioner import SEEN_AT_ONCE, Captioner
from recap.core.artifacts import write_json
from recap.core.feature_files import write_features
from recap.decoders.ensemble import Ensemble
from recap.decoding.minimum_bayes_risk import Consensus
from recap.errors import InputError
from recap.features.familiarity import write_familiarity
from recap.features.projection import Projection
from recap.loading import decoder_names
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pipeline leaves: an untrained backbone, PCA and decoders, and three images."""
    return make_finished_models(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the test runs."""
    copy = shutil.copytree(finished, tmp_path / "project")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def change_decoding() -> Callable[..., None]:
    """Writes options of `evaluate.decoding` into params.yaml."""

    def change(**options: Any) -> None:
        yaml = YAML()
        values = yaml.load(Path("params.yaml"))
        values["evaluate"]["decoding"].update(options)
        yaml.dump(values, Path("params.yaml"))

    return change


def texts(captioner: Captioner, images: Any = IMAGES) -> list[str]:
    return [caption.text for caption in captioner.caption(images)]


def test_an_import_of_the_package_brings_no_torch() -> None:
    program = "import recap, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        recap.lode  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.usefixtures("project")
def test_an_image_and_its_features_have_one_caption() -> None:
    captioner = recap.load("models/lstm")
    assert captioner.backbone is not None
    with torch.no_grad():
        x = captioner.backbone.preprocess(load_images([Path(image) for image in IMAGES], captioner.backbone))
        features = captioner.backbone.features(x).numpy()
    by_image, by_features = (
        captioner.caption(IMAGES),
        captioner.caption([*features.tolist(), Path(IMAGES[0])]),
    )
    assert len(by_features) == 4
    for number, caption in enumerate(by_features):
        expected = by_image[number % 3]
        assert caption.text == expected.text
        np.testing.assert_allclose(caption.log_probabilities, expected.log_probabilities, rtol=1e-4)
    assert captioner.caption([]) == []


@pytest.mark.usefixtures("project")
def test_an_image_of_pillow_has_the_caption_of_its_file() -> None:
    captioner = recap.load("models/lstm")
    with Image.open(IMAGES[0]) as image:
        see_through = image.convert("RGBA")
    see_through.putalpha(0)
    white = Image.new("RGB", see_through.size, "white")
    by_file, by_image, *on_white = captioner.caption([IMAGES[0], image, see_through, white])
    assert by_file == by_image
    assert on_white[0] == on_white[1]
    assert see_through.getpixel((0, 0))[3] == 0


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("models", ["models/rnn", "models/lstm", "models/transformer", "models"])
def test_a_written_caption_is_scored_as_it_was_written(models: str) -> None:
    """A beam's log-probabilities, word by word, are those of the whole caption read at once."""
    captioner = recap.load(models, replace(GREEDY, search="beam", beam_width=3, max_length=6))
    assert captioner.backbone is not None
    pixels = load_images([Path(image) for image in IMAGES], captioner.backbone)
    x = captioner.backbone.preprocess(pixels)
    for row, written in enumerate(captioner.caption(IMAGES)):
        scored = captioner.score(x[row : row + 1], written.text)
        assert (scored.tokens, scored.pieces, scored.words) == (written.tokens, written.pieces, written.words)
        ours = scored.log_probabilities[: len(written.log_probabilities)]
        np.testing.assert_allclose(ours, written.log_probabilities, rtol=1e-3, atol=1e-4)
        assert written.log_probability == sum(written.log_probabilities)
        assert written.word_log_probabilities == written.log_probabilities[: len(written.words)]


def test_a_folder_of_decoders_is_the_ensemble_of_those_that_the_settings_name(project: Path) -> None:
    shutil.copytree(project / "models" / "lstm", project / "models" / "lstm-best")
    captioner = recap.load()
    assert isinstance(captioner.decoder, Ensemble)
    assert len(captioner.decoder.decoders) == 3
    reduced = torch.from_numpy(captioner.reduce(IMAGES))
    words = torch.tensor([[1, 4, 5]] * 3)
    alone = [recap.load(f"models/{name}").decoder(reduced, words).softmax(2) for name in SIZES]
    assert torch.allclose(captioner.decoder(reduced, words).exp(), sum(alone) / 3, atol=1e-6)


@pytest.mark.usefixtures("project")
def test_captions_are_searched_for_as_the_settings_say(change_decoding: Callable[..., None]) -> None:
    change_decoding(search="greedy", max_length=4, min_length=4)
    written = texts(recap.load("models/lstm"))
    assert [len(text.split()) for text in written] == [4, 4, 4]
    change_decoding(banned_words=["a", "b", "c", "d", "e"])
    assert set(" ".join(texts(recap.load("models/lstm"))).split()) <= {"f", "g"}
    assert texts(recap.load("models/lstm", replace(GREEDY, max_length=4, min_length=4))) == written


@pytest.mark.usefixtures("project")
def test_a_consensus_asks_the_training_images(change_decoding: Callable[..., None]) -> None:
    change_decoding(search="consensus", candidates=4, pseudo_references=2, neighbours=1)
    captioner = recap.load("models/rnn")
    assert isinstance(captioner._search, Consensus)
    assert captioner._search.neighbours is not None
    assert len(captioner.caption(IMAGES)) == 3


def test_it_is_loaded_from_anywhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts(recap.load("models/lstm"))
    monkeypatch.chdir(project / "models")
    images = [project / image for image in IMAGES]
    assert texts(recap.load(project / "models" / "lstm"), images) == expected
    assert texts(recap.load("lstm"), images) == expected
    assert len(texts(recap.load("."), images)) == 3
    monkeypatch.chdir("lstm")
    assert texts(recap.load("."), images) == expected
    assert texts(recap.load(".", decoders=["lstm"]), images) == expected


def test_the_folder_of_decoders_may_be_a_link(project: Path) -> None:
    expected = texts(recap.load("models/lstm"))
    (project / "models").rename(project.parent / "elsewhere")
    (project / "models").symlink_to(project.parent / "elsewhere")
    assert decoder_names(Path("models")) == list(SIZES)
    assert texts(recap.load("models/lstm")) == expected


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([IMAGES[0], [1.0, 2.0]], "row 1: expected 8 finite features, received 2 with 2 finite"),
        ([[float("nan")] * FEATURES], "row 0: expected 8 finite features, received 8 with 0 finite"),
        ([[1e300] * FEATURES], "row 0: expected 8 finite features, received 8 with 0 finite"),
        (IMAGES[0], f"images: expected a list of paths or features, received one path, {IMAGES[0]}"),
        ([[[0.0] * FEATURES]], r"row 0: expected 8 finite features, received an array of the shape \(1, 8\)"),
        ([None], "row 0: expected features as numbers, received others"),
        ([["1"] * FEATURES], "row 0: expected features as numbers, received others"),
        ([[True] * FEATURES], "row 0: expected features as numbers, received others"),
        ([[*[0.0] * (FEATURES - 1), True]], "row 0: expected features as numbers, received others"),
        ([{"a": 1}], "row 0: expected features as numbers, received others"),
        (["absent.png"], "absent.png: expected an image that decodes"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_is_no_image_is_told_in_a_line(images: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recap.load("models/lstm").caption(images)


def test_what_is_no_decoder_or_of_another_run_is_refused(project: Path) -> None:
    with pytest.raises(InputError, match="models/gru: expected a trained decoder, the folder of several or"):
        recap.load("models/gru")
    write_features(Path("data/reduced/train.h5"), np.ones((3, 4), np.float32))
    write_features(Path("data/reduced/validation.h5"), np.ones((20, 4), np.float32))
    write_familiarity(Path("data/reduced"))
    with pytest.raises(InputError, match=r"familiarity\.safetensors: .* 5 features, received one of 4"):
        recap.load("models/lstm")
    write_json(Path("data/captions/vocabulary.json"), Vocabulary((*SPECIAL_WORDS, "a")).to_json())
    with pytest.raises(InputError, match="vocabulary: expected the decoder's 11 words, received 5"):
        recap.load("models/lstm")
    (project / "params.yaml").unlink()
    with pytest.raises(InputError, match=r"params\.yaml: expected a params file"):
        recap.load("models/lstm")


@pytest.mark.usefixtures("project")
def test_parts_that_do_not_fit_each_other_are_refused() -> None:
    captioner = recap.load("models/lstm")
    with pytest.raises(InputError, match="reads the 8 features of the backbone, received 5"):
        replace(captioner, projection=nn.Identity(), familiarity=None)
    other = Projection(torch.zeros(5, FEATURES + 1), torch.zeros(FEATURES + 1))
    with pytest.raises(InputError, match=r"PCA of the backbone's 8 features, received one of 9"):
        replace(captioner, projection=other)
    smaller = Projection(torch.zeros(4, FEATURES), torch.zeros(FEATURES))
    with pytest.raises(InputError, match="reads the 4 features of the PCA, received 5"):
        replace(captioner, projection=smaller, familiarity=None)


@pytest.mark.usefixtures("project")
def test_more_images_than_are_seen_at_once_are_each_seen() -> None:
    captioner = recap.load("models/lstm")
    images = IMAGES * (SEEN_AT_ONCE // len(IMAGES) + 1)
    few = captioner.reduce(IMAGES)
    assert np.abs(few[0] - few[1]).max() > 1e-3
    np.testing.assert_allclose(
        captioner.reduce(images), np.tile(few, (len(images) // len(IMAGES), 1)), rtol=1e-3, atol=1e-5
    )


@pytest.mark.usefixtures("project")
def test_features_are_captioned_without_a_backbone() -> None:
    shutil.rmtree("models/backbone")
    captioner = recap.load("models/lstm")
    assert len(captioner.caption(np.ones((2, FEATURES), np.float32))) == 2
    with pytest.raises(InputError, match="row 0: expected features: this pipeline has no backbone"):
        captioner.caption(IMAGES)


@pytest.mark.usefixtures("project")
def test_wrong_products_are_refused() -> None:
    program = (
        "import torch; torch.set_num_threads(4)\n"
        f"import recap; recap.load('models/lstm').caption({IMAGES!r})\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"OMP_THREAD_LIMIT": "1"},
        capture_output=True,
        text=True,
    )
    assert "the matrix product of this process: expected an error below 0.001" in result.stderr


@pytest.mark.usefixtures("project")
def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert re.search(r"-\d+\.\d+", capsys.readouterr().out)


def test_a_beam_gives_what_it_likes_less_without_changing_its_best(project: Path) -> None:
    captioner = recap.load("models/lstm")
    several = replace(captioner, n_best=5)
    features = np.random.default_rng(1).normal(size=(20, FEATURES)).astype(np.float32)
    reduced = captioner.reduce(list(features))
    found = several.caption_n_best(reduced)
    assert [best for best, *_ in found] == captioner.caption_reduced(reduced)
    for own in found:
        assert len({caption.text for caption in own}) == len(own) == 3, "as many as the beam is wide"
        ranks = [caption.log_probability / len(caption.log_probabilities) ** 0.7 for caption in own]
        assert ranks == sorted(ranks, reverse=True)
    greedy = replace(several, decoding=replace(captioner.decoding, search="greedy"))
    assert {len(own) for own in greedy.caption_n_best(reduced)} == {1}

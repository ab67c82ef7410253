"""The model that MLflow serves captions as the library does, by the options of the request."""

import base64
import io
import re
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from tests.settings import GREEDY

from recap.core.artifacts import write_json
from recap.core.feature_files import write_features
from recap.decoders.build import build_decoder, load_decoder, save_decoder
from recap.decoding.generate import generate
from recap.decoding.searches import make_constraints, make_search
from recap.features.familiarity import write_familiarity
from recap.serving.bundle import run_around, write_bundle
from recap.serving.pack import REQUIREMENTS
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

pytestmark = [
    pytest.mark.slow,
    # MLflow's own: on its type hints, and on the absence of pinned requirements
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]

VOCABULARY = Vocabulary((*SPECIAL_WORDS, *"abcdefg"))
DECODING = asdict(replace(GREEDY, search="beam", beam_width=3, length_normalisation=0.5))
SETTINGS = {
    "evaluate": {"batch_size": 256},
    "runtime": {"arithmetic": "portable", "threads": 2, "device": "cpu"},
}
FEATURES = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import mlflow

    from recap.serving import served_model
    from recap.serving.pack import make_signature

    folder = tmp_path_factory.mktemp("served")
    model = {"name": "lstm", "feature_dim": 5, "vocabulary_size": len(VOCABULARY)}
    model |= {"wordvec_dim": 8, "hidden_dim": 8, "dropout": 0.0}
    decoder = build_decoder(model, torch.Generator().manual_seed(0))
    decoder.scores.weight.data *= 3
    save_decoder(folder / "models" / "lstm", decoder, model)
    for split in ("train", "validation"):
        write_features(folder / "data" / "reduced" / f"{split}.h5", np.tile(FEATURES, (5, 1)))
    write_familiarity(folder / "data" / "reduced")
    write_json(folder / "data" / "captions" / "vocabulary.json", VOCABULARY.to_json())
    write_bundle(folder / "pipeline", run_around(folder / "models"), ["lstm"], DECODING, SETTINGS)
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=served_model.__file__,
        artifacts={"pipeline": str(folder / "pipeline")},
        signature=make_signature(False, DECODING | {"neighbours": 10}),  # which a server cannot ask
        pip_requirements=[],
    )
    return mlflow.pyfunc.load_model(str(folder / "model")), load_decoder(folder / "models" / "lstm")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"search": "greedy"},
        {"search": "sample", "top_k": 3, "beam_width": 9},
        {"banned_words": ["a", "b"], "beam_width": 1},
        {"search": "consensus"},
    ],
)
def test_options_of_a_request_replace_those_of_the_pipeline(served: Any, options: dict[str, Any]) -> None:
    model, decoder = served
    answer = model.predict(pandas.DataFrame({"features": FEATURES.astype(float).tolist()}), params=options)
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    config = replace(GREEDY, **DECODING | changes)
    constraints = make_constraints(config, VOCABULARY)
    expected = generate(decoder, FEATURES, VOCABULARY, constraints, 4, make_search(config))
    assert answer["caption"].tolist() == [caption.text for caption in expected]
    assert answer["log_probability"].tolist() == [caption.log_probability for caption in expected]


def test_rows_unlike_the_training_images_are_told(served: Any) -> None:
    rows = np.concatenate([FEATURES, FEATURES + 50]).astype(float).tolist()
    answer = served[0].predict(pandas.DataFrame({"features": rows}))
    assert answer["familiar"].tolist() == 4 * [True] + 4 * [False]


def test_no_rows_are_told(served: Any) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="expected rows with features or an image, received none"):
        served[0].predict(pandas.DataFrame({"features": pandas.Series([], dtype=object)}))


def test_a_long_text_is_no_path(tmp_path: Path) -> None:
    from recap.serving.answers import _image

    content = bytes(range(1, 250)) * 3  # its base64 has no slash for long, so no file can have that name
    text = base64.b64encode(content).decode().replace("/", "+")
    upload = _image(text, tmp_path, "row 0")
    assert isinstance(upload, io.BytesIO)
    assert upload.read() == base64.b64decode(text)


def test_a_wrong_option_is_named(served: Any) -> None:
    from mlflow.exceptions import MlflowException

    model, _ = served
    rows = pandas.DataFrame({"features": FEATURES.astype(float).tolist()})
    with pytest.raises(MlflowException, match=r"beam_width.*received 0"):
        model.predict(rows, params={"beam_width": 0})
    with pytest.raises(MlflowException, match=r"search.*received \"best\""):
        model.predict(rows, params={"search": "best"})
    with pytest.raises(MlflowException, match=r"params\.banned_words: expected words .* received 'unheard'"):
        model.predict(rows, params={"banned_words": ["a", "unheard"]})


def test_a_model_requires_what_its_code_imports() -> None:
    program = "import sys, recap.serving.answers; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    owners = packages_distributions()
    imported = {owner.lower() for name in loaded.stdout.split() for owner in owners.get(name, ())}
    own = {re.split(r"[\[<>=]", line)[0].lower() for line in requires("recap-captioning") or ()}
    assert {"torch", "pydantic", "ruamel.yaml"} <= imported & own <= set(REQUIREMENTS)

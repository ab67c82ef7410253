"""Decoders as MLflow models: packed from what dvc.lock names, registered, the best one called champion."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.errors import InputError
from recap.tracking.headline import MAIN_PARTS
from recap.tracking.pipeline import Pipeline
from recap.tracking.place import describe_error
from recap.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CHAMPION = "champion"
SCORE_TAG = "recap.cider_d"
REFERENCES_TAG = "recap.captions"
RUN_TAG = "recap.run"
MODEL_ERROR_TAG = "recap.model_error"
REQUIREMENTS = (
    "annotated-types",
    "h5py",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pydantic",
    "ruamel.yaml",
    "safetensors",
    "torch",
    "tqdm",
)
PARTS = {
    "models/backbone/backbone.json": "backbone/backbone.json",
    "models/backbone/weights.safetensors": "backbone/weights.safetensors",
    "data/captions/vocabulary.json": "vocabulary.json",
    "data/reduced/pca.safetensors": "pca.safetensors",
    "data/reduced/familiarity.safetensors": "familiarity.safetensors",
}
"""Where the pipeline's files lie in a model's folder, the decoder's apart."""


def registered_name(decoder: str) -> str:
    """The name of a decoder's models in the registry."""
    return f"recap-{decoder}"


def log_model(store: Store, pipeline: Pipeline, stage: str, run: str, metrics: Mapping[str, float]) -> None:
    """Log the decoder that a stage ``evaluate/...`` scored as a model of its run, and register it.

    What cannot be packed is told by a tag of the run; repeating it adds nothing.

    Raises:
        Exception: whatever the store raises.
    """
    decoder = stage.partition("/")[2]
    files = pipeline.locked_files([f"models/{decoder}", *PARTS, "data/features"])
    name, score = registered_name(decoder), _score(metrics)
    if f"models/{decoder}/model.json" not in files or score is None:
        return
    versions = store.client.search_model_versions(f"name = '{name}'")
    if any(version.tags.get(RUN_TAG) == run for version in versions):
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            _pack(pipeline, decoder, files, Path(folder))
        except Exception as error:  # a model that cannot be packed must not hold up the record of the run
            store.client.set_tag(run, MODEL_ERROR_TAG, describe_error(error, store.environment))
            return
        store.client.log_artifacts(run, str(Path(folder, "model")), "model")
    if not store.client.search_registered_models(f"name = '{name}'"):
        store.client.create_registered_model(name, description=f"Captions from recap's {decoder}.")
    tags = {
        SCORE_TAG: repr(score),
        REFERENCES_TAG: pipeline.digest("data/captions") or "",
        RUN_TAG: run,
    }
    store.client.create_model_version(name, f"runs:/{run}/model", run_id=run, tags=tags)
    _crown(store, name, tags[REFERENCES_TAG])


def model_address(store: Store, decoder: str, version: int | None) -> str:
    """The address of a registered model: of a version, or of the champion.

    Raises:
        InputError: there is none; the message names those that there are.
    """
    versions: list[Any] = []
    if re.fullmatch(r"[\w.-]+", decoder):  # MLflow's filter knows no other names
        versions = store.client.search_model_versions(f"name = '{registered_name(decoder)}'")
    if version is None and versions:
        return f"models:/{registered_name(decoder)}@{CHAMPION}"
    if any(int(found.version) == version for found in versions):
        return f"models:/{registered_name(decoder)}/{version}"
    if versions:
        known = ", ".join(sorted(str(found.version) for found in versions))
        raise InputError(f"serve: {decoder}: expected one of the versions {known}, received {version}")
    names = [model.name.removeprefix("recap-") for model in store.client.search_registered_models()]
    known = ", ".join(sorted(names)) or "none; run the pipeline and `recap sync`"
    raise InputError(f"serve: expected a registered decoder ({known}), received {decoder!r}")


def _crown(store: Store, name: str, references: str) -> None:
    """Give the alias to the best version of those scored on the same captions, of equals to the first."""
    comparable = [
        version
        for version in store.client.search_model_versions(f"name = '{name}'")
        if version.tags.get(REFERENCES_TAG) == references
    ]
    best = max(comparable, key=lambda version: (float(version.tags[SCORE_TAG]), -int(version.version)))
    store.client.set_registered_model_alias(name, CHAMPION, best.version)


def _score(metrics: Mapping[str, float]) -> float | None:
    names = [f"{part}.cider_d" for part in MAIN_PARTS]
    return next((metrics[name] for name in names if name in metrics), None)


def _pack(pipeline: Pipeline, decoder: str, files: Mapping[str, str], folder: Path) -> None:
    """Write an MLflow model to ``folder/model``."""
    import mlflow
    import pandas

    parts = PARTS | {
        f"models/{decoder}/{name}": f"decoder/{name}" for name in ("model.json", "weights.safetensors")
    }
    for source, target in parts.items():
        if source in files:
            content = pipeline.content(source, files[source])
            if content is None:
                raise FileNotFoundError(f"{source}: neither DVC's cache nor the working tree has it")
            (folder / "pipeline" / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / "pipeline" / target).write_bytes(content)
    package = Path(__file__).resolve().parents[1]
    shutil.copytree(package, folder / "recap", ignore=shutil.ignore_patterns("__pycache__"))
    example = _example_features(pipeline, files)
    has_images = (folder / "pipeline" / "backbone" / "weights.safetensors").is_file()
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(folder / "recap" / "tracking" / "served_model.py"),
        artifacts={"pipeline": str(folder / "pipeline")},
        code_paths=[str(folder / "recap")],
        signature=make_signature(has_images, pipeline.params["evaluate"]["decoding"]),
        input_example=pandas.DataFrame({"features": [example]}),
        pip_requirements=_requirements(),
        model_config={"images": None},
        metadata={"decoder": decoder, "feature_dim": len(example)},
    )


def make_signature(has_images: bool, decoding: dict[str, Any]) -> "ModelSignature":
    """What a model takes and gives; ``decoding`` holds the options of a request that names none.

    A served model has no training images, so a request that names none asks no neighbours.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [
        ColSpec(Array(DataType.double), "features", required=not has_images)
    ]
    if has_images:
        columns.append(ColSpec(DataType.string, "image", required=False))
    kinds = {str: DataType.string, bool: DataType.boolean, int: DataType.long, float: DataType.double}
    kinds[type(None)] = DataType.long  # top_k, the only one that may be absent
    return ModelSignature(
        inputs=Schema(columns),
        outputs=Schema(
            [
                ColSpec(DataType.string, "caption"),
                ColSpec(DataType.double, "log_probability"),
                ColSpec(DataType.boolean, "familiar", required=False),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec(name, DataType.string, list(value), (-1,))
                if isinstance(value, list | tuple)
                else ParamSpec(name, kinds[type(value)], value)
                for name, value in (decoding | {"neighbours": 0}).items()
            ]
        ),
    )


def _requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS]


def _example_features(pipeline: Pipeline, files: Mapping[str, str]) -> list[float]:
    """The first validation image's features."""
    from recap.core.feature_files import open_features

    features = open_features(pipeline.cache.path(files["data/features/val.h5"]))
    return [float(value) for value in features[0]]

"""A decoder as a model of MLflow: packed from what dvc.lock names, with the code that runs it."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.serving.bundle import COUNTS, PARTS, SCORES, SOURCE, Run, write_bundle

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

    from recap.workspace.lock_file import Outputs

REQUIREMENTS = (
    *("annotated-types", "mlflow", "numpy", "pandas", "pillow"),
    *("pydantic", "ruamel.yaml", "safetensors", "torch", "tqdm"),
)
FEATURES = "data/features/test.h5"


def model_files(outputs: "Outputs", decoder: str) -> dict[str, str]:
    """Return the files in dvc.lock that a decoder's model is made of: path -> MD5."""
    return outputs.files([f"models/{decoder}", *PARTS, FEATURES])


def pack(outputs: "Outputs", decoder: str, settings: Mapping[str, Any], folder: Path) -> None:
    """Write a decoder's model to ``folder/model``; the folder is empty.

    Settings are the groups of params.yaml; their options of decoding are those of requests that name none.

    Raises:
        FileNotFoundError: a file of it is not here.
    """
    import mlflow
    import pandas

    from recap.core.feature_files import open_features

    files = model_files(outputs, decoder)
    known = files | outputs.files([SOURCE, COUNTS, SCORES.format(decoder)])

    def read(path: str) -> bytes | None:
        return outputs.content(path, known[path]) if path in known else None

    decoding = settings["evaluate"]["decoding"]
    write_bundle(folder / "pipeline", Run(read, outputs.made.get), [decoder], decoding, settings)
    package = Path(__file__).resolve().parents[1]
    example = open_features(outputs.cache.path(files[FEATURES]))[0].astype(float).tolist()
    has_images = (folder / "pipeline" / "backbone" / "weights.safetensors").is_file()
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(package / "serving" / "served_model.py"),
        artifacts={"pipeline": str(folder / "pipeline")},
        code_paths=[str(package)],
        signature=make_signature(has_images, decoding),
        input_example=pandas.DataFrame({"features": [example]}),
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS],
        model_config={"images": None},
        metadata={"decoder": decoder, "feature_dim": len(example)},
    )


def make_signature(has_images: bool, decoding: dict[str, Any]) -> "ModelSignature":
    """Make the signature: what a model takes and gives.

    ``decoding`` holds the options of a request that names none. A served model has no training images, so
    such a request asks no neighbours.
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

"""The model that MLflow serves: features or images in, captions with log-probabilities out.

MLflow keeps this file beside the weights and runs it to load the model, so nothing is unpickled.
Shapes: N rows, D feature, K reduced feature.
"""

import base64
import binascii
import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError

from recap.captioner import assemble
from recap.decoding.config import DecodingConfig
from recap.errors import InputError


class CaptionModel(PythonModel):
    """A decoder with its vocabulary and, where the pipeline has them, the PCA and the backbone before it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load what ``recap.tracking.models`` put into the model's folder.

        The model's setting ``images`` names the folder below which a request may name images by their path.

        Raises:
            InputError: the products of this process come out wrong.
        """
        images = (context.model_config or {}).get("images")
        self.images = Path(images).resolve() if images else None
        folder = Path(context.artifacts["pipeline"])
        self.captioner = assemble(
            [folder / "decoder"], folder / "vocabulary.json", folder, folder / "backbone"
        )

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Caption rows.

        Args:
            context: unused.
            model_input: N rows with ``features``, D numbers before PCA, or ``image``: base64, or a path below
                the folder that the setting ``images`` names, and relative to it.
            params: fields of ``recap.decoding.config.DecodingConfig``; sampling draws by the row's number.

        Returns:
            A row each: ``caption``, ``log_probability`` (nats, of the whole caption), and ``familiar``, False
            for what is unlike the images that the model was trained on; None in models that cannot tell.

        Raises:
            MlflowException: a row has neither or cannot be used, or an option is none; a server answers 400.
        """
        try:
            captioner = replace(self.captioner, decoding=_decoding(params or {}))
            with tempfile.TemporaryDirectory() as folder:
                reduced = self._reduce(model_input, Path(folder))  # (N, K)
            captions = captioner.caption_reduced(reduced)
        except (InputError, RuntimeError) as error:
            raise MlflowException.invalid_parameter_value(" ".join(str(error).split())) from None
        return pd.DataFrame(
            {
                "caption": [caption.text for caption in captions],
                "log_probability": [caption.log_probability for caption in captions],
                "familiar": captioner.is_familiar(reduced),
            }
        )

    def _reduce(self, rows: pd.DataFrame, drafts: Path) -> NDArray[np.float32]:
        """What the decoder reads (N, K) of rows with either column; a mistake names the row, not a file."""
        given = rows["features"].tolist() if "features" in rows else [None] * len(rows)
        images = rows["image"].tolist() if "image" in rows else [None] * len(rows)
        if not len(rows):
            raise InputError("expected rows with features or an image, received none")
        found: list[Path | ArrayLike] = []
        for row, (values, image) in enumerate(zip(given, images, strict=True)):
            if isinstance(values, str):  # must not be taken for a path
                raise InputError(f"row {row}: expected features as numbers, received text")
            if values is not None:
                found.append(values)
            elif isinstance(image, str):
                found.append(_image_path(image, self.images, drafts / str(row), f"row {row}"))
            else:
                raise InputError(f"row {row}: expected features or an image, received neither")
        try:
            return self.captioner.reduce(found)
        except InputError as error:
            text = str(error)
            for row, source in enumerate(found):
                if isinstance(source, Path):
                    text = text.replace(str(source), f"row {row}")
            raise InputError(text) from None


def _decoding(options: Mapping[str, Any]) -> DecodingConfig:
    """The options of a request, checked as params.yaml is; MLflow passes lists as arrays."""
    text = json.dumps(dict(options), default=lambda value: value.tolist())
    try:
        return TypeAdapter(DecodingConfig).validate_json(text)
    except ValidationError as error:
        mistake = error.errors()[0]
        where = ".".join(str(key) for key in mistake["loc"])
        raise InputError(f"{where}: {mistake['msg']}, received {json.dumps(mistake['input'])}") from None


def _image_path(image: str, folder: Path | None, draft: Path, where: str) -> Path:
    """The file of an image: below a folder, or one that is written from base64, line breaks and all.

    A text that is neither gets one answer, whether there is such a file or not.
    """
    if folder is not None and len(image) < 4096:
        with contextlib.suppress(OSError, ValueError):  # what can be no path at all
            path = (folder / image).resolve()
            if path.is_relative_to(folder) and path.is_file():
                return path
    try:
        draft.write_bytes(base64.b64decode("".join(image.rpartition(",")[2].split()), validate=True))
    except (binascii.Error, ValueError):
        raise InputError(
            f"{where}: expected an image as base64, or a path below the folder that was named at start, "
            "received another text"
        ) from None
    return draft


mlflow.models.set_model(CaptionModel())

"""The model that MLflow serves: features or images in, captions with log-probabilities out.

MLflow keeps this file beside the weights and runs it to load the model, so nothing is unpickled.
Shapes: N rows, D feature, K reduced feature, S side of the backbone's input in pixels.
"""

import base64
import binascii
import contextlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from recap.data.vocabulary import parse_vocabulary
from recap.decoders.build import load_decoder
from recap.errors import InputError
from recap.generation.config import DecodingConfig
from recap.generation.decoding import make_constraints, make_search
from recap.generation.generate import generate
from recap.runtime import check_product
from recap.vision.backbone import Backbone
from recap.vision.backbones import load_backbone
from recap.vision.familiarity import FILE, load_familiarity
from recap.vision.images import load_images
from recap.vision.word_saliency import Projection, load_projection

LARGEST_BATCH = 256


class CaptionModel(PythonModel):
    """A decoder with its vocabulary and, where the pipeline has them, the PCA and the backbone before it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load what ``recap.tracking.models`` put into the model's folder.

        The model's setting ``images`` names the folder below which a request may name images by their path.

        Raises:
            InputError: the products of this process come out wrong.
        """
        check_product()
        images = (context.model_config or {}).get("images")
        self.images = Path(images).resolve() if images else None
        folder = Path(context.artifacts["pipeline"])
        self.decoder = load_decoder(folder / "decoder")
        vocabulary = folder / "vocabulary.json"
        self.vocabulary = parse_vocabulary(
            json.loads(vocabulary.read_text(encoding="utf-8")), vocabulary.name
        )
        self.projection = load_projection(folder / "pca.safetensors")
        model = json.loads((folder / "decoder" / "model.json").read_text(encoding="utf-8"))
        self.familiarity = load_familiarity(folder / FILE)
        self.width = int(model["feature_dim"])  # D
        if isinstance(self.projection, Projection):
            self.width = self.projection.mean.numel()
        has_backbone = (folder / "backbone" / "weights.safetensors").is_file()
        self.backbone = load_backbone(folder / "backbone") if has_backbone else None

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Caption rows.

        Args:
            context: unused.
            model_input: N rows with ``features``, D numbers before PCA, or ``image``: base64, or a path below
                the folder that the setting ``images`` names, and relative to it.
            params: fields of ``recap.generation.config.DecodingConfig``; sampling draws by the row's number.

        Returns:
            A row each: ``caption``, ``log_probability`` (nats, of the whole caption), and ``familiar``, False
            for what is unlike the images that the model was trained on; None in models that cannot tell.

        Raises:
            MlflowException: a row has neither or cannot be used, or an option is none; a server answers 400.
        """
        try:
            check_product()  # an OpenMP may give fewer threads at any moment
            decoding = _decoding(params or {})
            constraints = make_constraints(decoding, self.vocabulary)
            features = self._features(model_input)  # (N, D)
            with torch.inference_mode():
                reduced = self.projection(torch.from_numpy(features)).numpy()  # (N, K)
            captions = generate(
                self.decoder, reduced, self.vocabulary, constraints, LARGEST_BATCH, make_search(decoding)
            )
        except (InputError, RuntimeError) as error:
            raise MlflowException.invalid_parameter_value(" ".join(str(error).split())) from None
        return pd.DataFrame(
            {
                "caption": [caption.text for caption in captions],
                "log_probability": [caption.log_probability for caption in captions],
                "familiar": (
                    self.familiarity.is_familiar(reduced).tolist()
                    if self.familiarity
                    else [None] * len(captions)
                ),
            }
        )

    def _features(self, rows: pd.DataFrame) -> NDArray[np.float32]:
        """Features (N, D) of rows with either column."""
        given = rows["features"].tolist() if "features" in rows else [None] * len(rows)
        images = rows["image"].tolist() if "image" in rows else [None] * len(rows)
        if not len(rows):
            raise InputError("expected rows with features or an image, received none")
        found: list[Any] = [None] * len(rows)
        with tempfile.TemporaryDirectory() as folder:
            paths: dict[int, Path] = {}
            for row, (values, image) in enumerate(zip(given, images, strict=True)):
                if values is not None:
                    found[row] = _numbers(values, f"row {row}")
                elif isinstance(image, str):
                    paths[row] = _image_path(image, self.images, Path(folder, str(row)), f"row {row}")
                else:
                    raise InputError(f"row {row}: expected features or an image, received neither")
            if paths and self.backbone is None:
                raise InputError(f"row {min(paths)}: expected features: this pipeline has no backbone")
            for first in range(0, len(paths), LARGEST_BATCH):
                batch = list(paths.items())[first : first + LARGEST_BATCH]
                assert self.backbone is not None
                with torch.inference_mode():
                    pixels = self._load(batch, self.backbone)  # (N, S, S, 3)
                    computed = self.backbone.features(self.backbone.preprocess(pixels)).numpy()  # (N, D)
                for (row, _), values in zip(batch, computed, strict=True):
                    found[row] = values
        for row, values in enumerate(found):
            if values.shape != (self.width,) or not np.isfinite(values).all():
                received = f"{values.size} with {np.isfinite(values).sum()} finite"
                raise InputError(f"row {row}: expected {self.width} finite features, received {received}")
        return np.stack(found)

    @staticmethod
    def _load(batch: Sequence[tuple[int, Path]], backbone: Backbone) -> torch.Tensor:
        """Images (N, S, S, 3) uint8; a mistake names the row, not the file that base64 was written to."""
        try:
            return load_images([path for _, path in batch], backbone)
        except InputError as error:
            text = str(error)
            for row, path in batch:
                text = text.replace(str(path), f"row {row}")
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


def _numbers(values: Any, where: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused as such
            return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: expected features as numbers, received others") from None


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

"""The model that MLflow serves: features or images in, captions with log-probabilities out.

MLflow keeps this file beside the weights and runs it to load the model, so nothing is unpickled.
Shapes: N rows, D feature, K reduced feature, S side of the backbone's input in pixels.
"""

import base64
import binascii
import json
import os
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
from recap.vision.backbone import Backbone
from recap.vision.backbones import load_backbone
from recap.vision.familiarity import FILE, load_familiarity
from recap.vision.images import load_images
from recap.vision.word_saliency import Projection, load_projection

LARGEST_BATCH = 256


class CaptionModel(PythonModel):
    """A decoder with its vocabulary and, where the pipeline has them, the PCA and the backbone before it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load what ``recap.tracking.models`` put into the model's folder."""
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
            model_input: N rows with ``features``, D numbers before PCA, or ``image``: a path, or base64.
            params: fields of ``recap.generation.config.DecodingConfig``; sampling draws by the row's number.

        Returns:
            A row each: ``caption``, ``log_probability`` (nats, of the whole caption), and ``familiar``, False
            for what is unlike the images that the model was trained on; None in models that cannot tell.

        Raises:
            MlflowException: a row has neither or cannot be used, or an option is none; a server answers 400.
        """
        try:
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
                    found[row] = np.asarray(values, dtype=np.float32)
                elif isinstance(image, str):
                    paths[row] = _image_path(image, Path(folder, str(row)), f"row {row}")
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


def _image_path(image: str, draft: Path, where: str) -> Path:
    """The file of an image given as a path or as base64, which is written to a draft."""
    if len(image) < 4096 and os.path.isfile(image):  # noqa: PTH113  a long text is no error here
        return Path(image)
    try:
        draft.write_bytes(base64.b64decode(image.rpartition(",")[2], validate=True))
    except (binascii.Error, ValueError):
        raise InputError(
            f"{where}: expected an image as base64 or an existing path, received another text"
        ) from None
    return draft


mlflow.models.set_model(CaptionModel())

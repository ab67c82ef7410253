"""The model that MLflow serves: features or images in, captions with log-probabilities out.

MLflow keeps this file beside the weights and runs it to load the model, so nothing is unpickled. It runs it
to pack a model too, which needs no torch: what imports that is imported where a model is used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from recap.errors import InputError


class CaptionModel(PythonModel):
    """A bundle."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load what ``pack`` packed; the setting ``images`` is the folder of images that are named by path.

        Raises:
            InputError: the products of this process come out wrong.
        """
        from recap.loading import load

        images = (context.model_config or {}).get("images")
        self.images = Path(images).resolve() if images else None
        self.captioner = load(context.artifacts["pipeline"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Caption rows, as ``recap.serving.answers.answer`` does; MLflow passes lists of params as arrays.

        Raises:
            MlflowException: a row or an option cannot be used; a server answers 400.
        """
        from recap.serving.answers import answer

        rows = [dict(zip(model_input, row, strict=True)) for row in model_input.itertuples(index=False)]
        options = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in (params or {}).items()
        }
        try:
            return pd.DataFrame(answer(self.captioner, rows, options, self.images))
        except (InputError, RuntimeError) as error:
            raise MlflowException.invalid_parameter_value(" ".join(str(error).split())) from None


mlflow.models.set_model(CaptionModel())

"""Training on captions of images that are not there, before the one on images.

Far more captions are to be had than images with captions. Each comes with a feature that its image might have
(`recap.features.language`), so that the decoder learns to describe a feature, not only to form sentences.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from recap.core.feature_files import open_features
from recap.core.raw_data import LANGUAGE
from recap.text.batches import CaptionedFeatures
from recap.text.captions import Encoded
from recap.training.loop import Keep, Report, Task, fit
from recap.training.seeds import derive_seed
from recap.training.state import TrainingState

LANGUAGE_COLUMNS = (
    "step",
    "epoch",
    "language_loss",
    "language_learning_rate",
    "language_gradient_norm",
    "words",
)
"""Those of the steps of this training, in the history."""


def with_features(language: Encoded, features: Path) -> CaptionedFeatures:
    """Return the captions of images that are not there, with a feature each.

    Args:
        language: encoded captions.
        features: folder that `reduce` wrote.

    Raises:
        InputError: the folder lacks the features, or the file holds something else.
    """
    captions, _ = language
    rows = np.arange(len(captions), dtype=np.int32)
    return CaptionedFeatures(captions, rows, open_features(features / f"{LANGUAGE}.h5"))


def learn_language(
    task: Task,
    captions: CaptionedFeatures,
    state: TrainingState,
    report: Report,
    keep: Keep,
    interrupted: Callable[[], bool],
) -> None:
    """Fit the decoder of ``state`` to captions without images; the last weights are kept in ``state.best``.

    Args:
        task: the training on images that follows.
        captions: to learn, with a feature each.
        state, keep, interrupted: as for ``recap.training.loop.fit``.
        report: receives live metrics, whose names begin with language.

    Raises:
        InputError: a training loss is not finite.
    """
    config, settings = task.config, task.config.language
    own = replace(
        task,
        name=f"{task.name}, language",
        training=captions,
        config=replace(
            config,
            batch_size=settings.batch_size,
            keep="last",
            average_decay=0.0,
            seed=derive_seed(config.seed, "language"),
        ),
        decoder=replace(task.decoder, epochs=settings.epochs, learning_rate=settings.learning_rate),
        scores=None,
        rate_setting="train.language.learning_rate",
    )

    def report_apart(metrics: dict[str, float], step: int) -> None:
        report({f"language_{name}": value for name, value in metrics.items()}, step)

    fit(own, state, report_apart, keep, interrupted)

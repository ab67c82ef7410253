"""What the runs table shows of a pipeline: few params on every run, few metrics of every stage on its run."""

from collections.abc import Mapping
from typing import Any

from recap.tracking.flatten import flatten

PARAMS = (
    "data.source",
    "data.scenes.train_images",
    "features.backbone",
    "backbone.feature_dim",
    "reduce.enabled",
    "reduce.components",
    "train.batch_size",
    "train.seed",
)
EVALUATION_METRICS = ("cider_d", "bleu_4", "rouge_l", "truth", "perplexity")
MAIN_PARTS = ("seen", "validation")
DECODERS = ("rnn", "lstm", "transformer")


def headline_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a pipeline's params that tell pipelines apart at a glance."""
    flat = flatten(params)
    return {name: flat[name] for name in PARAMS if name in flat}


def headline_metrics(stage: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """A stage's metrics under the names that they have on the pipeline's run.

    ``evaluate/lstm`` gives ``lstm.seen.cider_d`` and so on, and ``lstm.cider_d`` for the main part of the
    validation images; every other stage ``backbone.accuracy`` and so on.
    """
    kind, _, decoder = stage.partition("/")
    if kind != "evaluate":
        return {f"{stage.replace('/', '.')}.{name}": number for name, number in metrics.items()}
    found: dict[str, float] = {}
    for name, number in metrics.items():
        part, _, score = name.rpartition(".")
        if score in EVALUATION_METRICS:
            found[f"{decoder}.{name}"] = number
            if part in MAIN_PARTS:
                found[f"{decoder}.{score}"] = number
    return found

"""The params and metrics of a pipeline's run, and saved views of MLflow's table of runs.

The views are saved in the store as MLflow's own UI saves them: columns, filters, charts.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import get_args

from recap.decoders.config import DecoderName

EVALUATION_METRICS = ("cider_d", "bleu_4", "rouge_l", "truth", "perplexity")
MAIN_PARTS = ("seen", "test")
LATEST_FIRST = {"orderByKey": "attributes.end_time", "orderByAsc": False}
"""By their start, stages are folded into pipelines."""
STATES = {
    "pipelines": {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [
            "attributes.`Duration`",
            *(
                f"metrics.`{name}.{score}`"
                for score in ("cider_d", "truth")
                for name in get_args(DecoderName)
            ),
        ],
    },
    "curves": LATEST_FIRST
    | {
        # what DVC reused would lie on the curves of the run that made it
        "searchFilter": "tags.`recap.stage` LIKE 'train/%' AND tags.`recap.original_run` IS NULL",
        "chartsSearchFilter": "loss",
    },
    "captions": LATEST_FIRST | {"searchFilter": "tags.`recap.stage` LIKE 'evaluate/%'"},
}
MODES = {"pipelines": "TABLE", "curves": "CHART", "captions": "ARTIFACT"}


def headline_metrics(stage: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return a stage's metrics as its pipeline's run names them, such as ``backbone.accuracy``.

    ``evaluate/lstm`` gives ``lstm.seen.cider_d``, and ``lstm.cider_d`` of the main part of the test images.
    """
    kind, _, decoder = stage.partition("/")
    is_score, found = kind == "evaluate", dict[str, float]()
    for name, number in metrics.items():
        part, _, score = name.rpartition(".")
        if name.startswith("system/") or (is_score and score not in EVALUATION_METRICS):
            continue
        found[f"{decoder if is_score else stage.replace('/', '.')}.{name}"] = number
        if is_score and part in MAIN_PARTS:
            found[f"{decoder}.{score}"] = number
    return found


def experiment_tags() -> dict[str, str]:
    """Return the tags that give an experiment these views, and the menu of model training."""
    tags = {"mlflow.experimentKind": "custom_model_development"}
    for name, state in STATES.items():
        packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
        view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
        tags[f"mlflow.sharedViewState.recap-{name}"] = json.dumps(view)
    return tags


def view_addresses(server: str, experiment: str) -> dict[str, str]:
    """Return the address of each view on a server such as ``http://127.0.0.1:5000``."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
    return {
        name: f"{page}?viewStateShareKey=recap-{name}&compareRunsMode={mode}" for name, mode in MODES.items()
    }

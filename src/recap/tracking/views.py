"""Views of the runs page, saved in the store as MLflow's own UI saves them: columns, filters, charts."""

import base64
import json
import zlib

from recap.tracking.headline import DECODERS

LATEST_FIRST = {
    "orderByKey": "attributes.end_time",
    "orderByAsc": False,
}  # by start, children hide in parents
STATES = {
    "pipelines": {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [
            "attributes.`Duration`",
            *(f"metrics.`{name}.{score}`" for score in ("cider_d", "truth") for name in DECODERS),
        ],
    },
    "curves": LATEST_FIRST
    | {"searchFilter": "tags.`recap.stage` LIKE 'train/%'", "chartsSearchFilter": "loss"},
    "captions": LATEST_FIRST | {"searchFilter": "tags.`recap.stage` LIKE 'evaluate/%'"},
}
MODES = {"pipelines": "TABLE", "curves": "CHART", "captions": "ARTIFACT"}


def experiment_tags() -> dict[str, str]:
    """Tags that give an experiment these views, and the menu of model training."""
    tags = {"mlflow.experimentKind": "custom_model_development"}
    for name, state in STATES.items():
        packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
        view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": f"deflate;{packed}"}
        tags[f"mlflow.sharedViewState.recap-{name}"] = json.dumps(view)
    return tags


def view_addresses(server: str, experiment: str) -> dict[str, str]:
    """The address of each view on a server such as ``http://127.0.0.1:5000``."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment}/runs"
    return {
        name: f"{page}?viewStateShareKey=recap-{name}&compareRunsMode={mode}" for name, mode in MODES.items()
    }

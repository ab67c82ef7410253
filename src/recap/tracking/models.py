"""Models in MLflow's registry: each evaluation registers its decoder; the best one is the champion."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import InputError
from recap.serving.pack import model_files, pack
from recap.tracking.store import Store, Tag, describe_error
from recap.tracking.views import MAIN_PARTS

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from recap.tracking.child_runs import Record

CHAMPION = "champion"
PREFIX = "recap-"
SCORE_TAG = "recap.cider_d"
REFERENCES_TAG = "recap.references"
MODEL_ERROR_TAG = "recap.model_error"
REFERENCES = "data/captions/references_test.json"


def register(store: Store, record: "Record", run: str, metrics: Mapping[str, float]) -> None:
    """Log the decoder that a stage ``evaluate/...`` scored as a model of its run, and register it.

    A model that cannot be packed leaves a tag with the reason; a second call adds nothing.

    Raises:
        Exception: whatever the store raises.
    """
    decoder, client = record.stage.partition("/")[2], store.client
    score = next((metrics[name] for part in MAIN_PARTS if (name := f"{part}.cider_d") in metrics), None)
    if f"models/{decoder}/model.json" not in model_files(record.outputs, decoder) or score is None:
        return
    name, known = PREFIX + decoder, _versions(store, decoder)
    is_copy = any(version.tags.get(Tag.KEY) == record.key for version in known) and not record.events
    if is_copy or any(version.run_id == run for version in known):
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            pack(record.outputs, decoder, record.params, Path(folder))
        except FileNotFoundError:
            raise  # a later import adds it
        except Exception as error:  # a model that cannot be packed must not hold up the record of the run
            client.set_tag(run, MODEL_ERROR_TAG, describe_error(error, store.environment))
            return
        client.log_artifacts(run, str(Path(folder, "model")), "model")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description=f"Captions from recap's {decoder}.")
    references = record.outputs.files([REFERENCES]).get(REFERENCES, "")
    tags = {SCORE_TAG: repr(score), REFERENCES_TAG: references, Tag.KEY: record.key}
    client.create_model_version(name, f"runs:/{run}/model", run_id=run, tags=tags)


def choose_champions(store: Store) -> None:
    """Give each decoder's alias to the best version of those scored on the champion's reference captions.

    Without any, those scored on the references of the newest version compete.
    Scores on different captions cannot be compared; of equal scores the first wins.
    """
    for model in store.client.search_registered_models(f"name LIKE '{PREFIX}%'"):
        known = _versions(store, model.name.removeprefix(PREFIX))
        alias = str(model.aliases.get(CHAMPION, ""))
        holder = next((version for version in known if str(version.version) == alias), None)
        living = [version for version in known if _has_run(store, version)]
        same = [version for version in living if holder and _references(version) == _references(holder)]
        if not same and living:  # no champion yet, or no other version was scored on its references
            same = [version for version in living if _references(version) == _references(living[-1])]
        best = max(same, key=lambda own: float(own.tags.get(SCORE_TAG, "-inf")), default=None)
        if best is None and alias:
            store.client.delete_registered_model_alias(model.name, CHAMPION)
        elif best is not None and str(best.version) != alias:
            store.client.set_registered_model_alias(model.name, CHAMPION, str(best.version))


def model_address(store: Store, decoder: str, version: int | None) -> str:
    """Return the address of a registered model: of a version, or without one of the champion.

    Raises:
        InputError: there is none; the message names the existing ones.
    """
    # MLflow's search takes no other names
    known = _versions(store, decoder) if re.fullmatch(r"[\w.-]+", decoder) else []
    if not known:
        names = [model.name.removeprefix(PREFIX) for model in store.client.search_registered_models()]
        said = ", ".join(sorted(names)) or "none; run the pipeline and `recap sync`"
        raise InputError(f"serve: expected a registered decoder ({said}), received {decoder!r}")
    if version is None:
        return f"models:/{PREFIX}{decoder}@{CHAMPION}"
    numbers = [str(found.version) for found in known]
    if str(version) in numbers:
        return f"models:/{PREFIX}{decoder}/{version}"
    raise InputError(
        f"serve: {decoder}: expected one of the versions {', '.join(numbers)}, received {version}"
    )


def _versions(store: Store, decoder: str) -> "list[ModelVersion]":
    """Return the versions of a decoder's model, oldest first."""
    found = store.client.search_model_versions(f"name = '{PREFIX}{decoder}'")
    return sorted(found, key=lambda version: int(version.version))


def _references(version: "ModelVersion") -> str:
    return str(version.tags.get(REFERENCES_TAG, ""))


def _has_run(store: Store, version: "ModelVersion") -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(store.client.get_run(str(version.run_id)).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise

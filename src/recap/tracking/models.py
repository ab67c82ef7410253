"""Models in MLflow's registry: each evaluation registers its decoder; the best one is the champion."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import InputError
from recap.serving.pack import model_files, pack
from recap.tracking.store import Store, Tag, describe_error

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from recap.tracking.child_runs import Record

CHAMPION = "champion"
PREFIX = "recap-"
SCORE_TAG = "recap.cider_d"
REFERENCES_TAG = "recap.references"
MODEL_ERROR_TAG = "recap.model_error"
REFERENCES = "data/captions/references_test.json"


def register(store: Store, record: "Record", run: str, decoder: str, score: float) -> None:
    """Log the decoder that a stage scored as a model of its run, and register it; a second call adds nothing.

    A model that cannot be packed leaves a tag with the reason.
    """
    client, name = store.client, PREFIX + decoder
    is_new = bool(record.events)  # and no copy of what another run scored
    if f"models/{decoder}/model.json" not in model_files(record.outputs, decoder) or any(
        own.run_id == run or (own.tags.get(Tag.KEY) == record.key and not is_new)
        for own in _versions(store, name)
    ):
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
    for model in _models(store):
        known = _versions(store, model.name)
        alias = str(model.aliases.get(CHAMPION, ""))
        holder = [own for own in known if str(own.version) == alias]
        living = [own for own in known if _has_run(store, own)]
        wanted = [own.tags.get(REFERENCES_TAG) for own in (*holder, *living[-1:])]
        rivals = [[own for own in living if own.tags.get(REFERENCES_TAG) == captions] for captions in wanted]
        same = next(filter(None, rivals), [])
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
    names = sorted(model.name.removeprefix(PREFIX) for model in _models(store) if model.latest_versions)
    if decoder not in names:
        said = ", ".join(names) or "none; run the pipeline and `recap sync`"
        raise InputError(f"serve: expected a registered decoder ({said}), received {decoder!r}")
    if version is None:
        return f"models:/{PREFIX}{decoder}@{CHAMPION}"
    numbers = [str(own.version) for own in _versions(store, PREFIX + decoder)]
    if str(version) in numbers:
        return f"models:/{PREFIX}{decoder}/{version}"
    known = ", ".join(numbers)
    raise InputError(f"serve: {decoder}: expected one of the versions {known}, received {version}")


def _models(store: Store) -> "list[RegisteredModel]":
    return list(store.client.search_registered_models(f"name LIKE '{PREFIX}%'"))


def _versions(store: Store, model: str) -> "list[ModelVersion]":
    """Return the versions of a model, oldest first."""
    found = store.client.search_model_versions(f"name = '{model}'")
    return sorted(found, key=lambda version: int(version.version))


def _has_run(store: Store, version: "ModelVersion") -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(store.client.get_run(str(version.run_id)).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise

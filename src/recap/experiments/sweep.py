"""A search for settings: Optuna proposes them, DVC runs them, and a killed search goes on.

A trial's settings are in Optuna's storage before its experiment starts, and its number is in the experiment's
name. So a trial that a kill interrupts is run again, or its finished experiment is found: none is lost, none
is run twice.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le, MinLen
from pydantic import Field
from pydantic.dataclasses import dataclass

from recap.core import paths
from recap.core.config import STRICT, Seed, parse, read_content, read_values
from recap.errors import InputError, expecting
from recap.experiments.experiment import DIGITS, base_digest, run_experiment, set_params
from recap.experiments.interruption import put_back
from recap.experiments.recipe import find_mistakes
from recap.runtime.writer import only_writer
from recap.tracking.importer import bring
from recap.workspace.definition import flatten
from recap.workspace.lock_file import digest
from recap.workspace.pipeline import open_pipeline, open_repository

if TYPE_CHECKING:
    from optuna import Study, Trial

FOLDER = paths.STATE / "sweeps"
LOSS = "validation_loss"


@dataclass(config=STRICT, frozen=True)
class Choices:
    """A setting that takes one of several values."""

    choices: Annotated[tuple[str | int | float | bool | None, ...], MinLen(1)]


@dataclass(config=STRICT, frozen=True)
class Range:
    """A setting between two numbers, both included; whole numbers when both are whole."""

    low: int | float
    high: int | float
    log: bool = False


@dataclass(config=STRICT, frozen=True)
class SweepConfig:
    """What Optuna varies, and how often."""

    # of the sweep; its experiments' names begin with it
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=50)]
    decoder: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]  # trials are compared by its validation loss
    trials: Annotated[int, Ge(1), Le(100_000)]  # that finish or are pruned
    # epochs after which a trial ends whose lowest validation loss so far is above the median of those that
    # finished, at least five; None: every trial trains to its end
    prune_after: Annotated[int, Ge(1)] | None
    seed: Seed  # of the sampler
    space: Annotated[dict[str, Choices | Range], MinLen(1)]  # such as "decoders.lstm.hidden_dim" -> values


def read_sweep(path: Path, params: Path = paths.PARAMS) -> SweepConfig:
    """Read a file of settings.

    Raises:
        InputError: it cannot be read, or holds mistakes, or values that params.yaml may not have; the message
            has one line a mistake.
    """
    config = parse(path.name, read_values(read_content(path, "a file of a sweep"), path), SweepConfig)
    for name, values in config.space.items():
        if isinstance(values, Range) and not (
            values.low <= values.high and (values.low > 0 or not values.log)
        ):
            raise InputError(
                f"{path.name}.space.{name}: expected low up to high, above 0 with log; "
                f"received {asdict(values)}"
            )
    present = read_values(read_content(params, "a params file"), params)
    known = flatten(present)
    unknown = [name for name in config.space if name not in known]
    if unknown:
        raise InputError(f"{path.name}.space: expected settings of {params}, received {', '.join(unknown)}")
    decoders = known.get("decoders.names", [config.decoder])
    if config.decoder not in decoders:
        raise InputError(
            f"{path.name}.decoder: expected one of decoders.names, {', '.join(decoders)}; "
            f"received {config.decoder}"
        )
    mistakes = [
        f"{path.name}.space: {mistake}"
        for name, values in config.space.items()
        for value in (values.choices if isinstance(values, Choices) else (values.low, values.high))
        for mistake in find_mistakes(present, {name: value})
    ]
    if mistakes:
        raise InputError(*mistakes)
    return config


def sweep(root: Path, config: SweepConfig, environment: Mapping[str, str]) -> Iterator[str]:
    """Run trials until as many as the settings say are finished; yields a line a trial, then the best.

    Raises:
        InputError: Optuna is absent, an experiment failed, or another process runs experiments here.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise InputError(
            "recap sweep: expected Optuna, found none; pip install --constraint requirements.lock optuna"
        ) from None
    from optuna.trial import Trial, TrialState
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{(root / FOLDER).resolve() / config.name}.db"
    with only_writer("experiments", folder=root / paths.LOCKS):
        put_back(root)
        # whatever changes what is proposed begins another study
        identity = digest(base_digest(root, list(config.space)), {**asdict(config), "trials": None})
        name = f"{config.name}-{identity[:DIGITS]}"
        pruner = (
            optuna.pruners.NopPruner()
            if config.prune_after is None
            else optuna.pruners.MedianPruner(n_warmup_steps=config.prune_after)
        )
        with expecting(f"{storage}: expected the storage of Optuna", SQLAlchemyError):
            study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True, pruner=pruner)
        while len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))) < config.trials:
            begun = study.get_trials(states=(TrialState.RUNNING,))
            if not begun:
                study.ask()
                continue
            number = begun[0].number
            # of the number alone, so that a kill does not change what is proposed next
            study.sampler = optuna.samplers.TPESampler(seed=config.seed + number)
            trial = Trial(study, begun[0]._trial_id)
            settings = {key: _suggest(trial, key, values) for key, values in config.space.items()}
            experiment = f"{name}-{number:04d}"
            yield f"{experiment}: {_told(settings)}"
            trial.set_user_attr("experiment", experiment)
            try:
                watch = watch_losses(study, trial, config.decoder)
                targets = [f"evaluate@{config.decoder}"]
                revision = run_experiment(root, experiment, settings, targets, environment, watch)
            except optuna.TrialPruned:
                study.tell(trial, state=TrialState.PRUNED)
                yield f"{experiment}: pruned"
                continue
            except InputError:
                study.tell(trial, state=TrialState.FAIL)
                raise
            loss = _loss(root, experiment, revision, config.decoder)
            study.tell(trial, loss)
            yield f"{experiment}: {LOSS} {loss:.4f}"
        bring(environment, None, root, everything=True)
        yield _best(study)


def _suggest(trial: "Trial", name: str, values: Choices | Range) -> Any:
    """Propose a setting; one that the trial has already stays."""
    if isinstance(values, Choices):
        return trial.suggest_categorical(name, values.choices)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def watch_losses(study: "Study", trial: "Trial", decoder: str) -> Callable[[str], None]:
    """Return what takes a training's lines, and raises ``TrialPruned`` when a trial is to end."""
    from optuna import TrialPruned

    epoch_line = re.compile(rf"{decoder}: epoch (\d+) of \d+: .*validation loss (\d+\.\d+)")

    def watch(line: str) -> None:
        found = epoch_line.search(line)
        if found is None:
            return
        epoch = int(found[1])
        if epoch not in study.trials[trial.number].intermediate_values:  # a killed run says an epoch again
            trial.report(float(found[2]), epoch)
        if trial.should_prune():
            raise TrialPruned

    return watch


def _loss(root: Path, experiment: str, revision: str, decoder: str) -> float:
    path = f"models/{decoder}/summary.json"
    with open_repository(root) as repo, open_pipeline(repo, revision) as pipeline:
        try:
            ((name, md5),) = pipeline.outputs.files([path]).items()
            return float(json.loads(pipeline.outputs.content(name, md5))[LOSS])
        except (OSError, ValueError, LookupError) as error:
            raise InputError(
                f"{experiment}: expected {LOSS} in {path}, received: {error}; dvc pull"
            ) from None


def _best(study: "Study") -> str:
    best = study.best_trial
    changes = shlex.join(set_params(best.params))
    experiment = best.user_attrs["experiment"]
    return (
        f"best: {experiment}, {LOSS} {best.value:.4f}; dvc exp apply {experiment}, or dvc exp run {changes}"
    )


def _told(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in settings.items()
    )

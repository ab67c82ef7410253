"""Fits a decoder to captions and features on disk and writes models/<decoder>/."""

from dataclasses import asdict
from pathlib import Path

import torch

from recap.artifacts import write_csv, write_json
from recap.data.batches import CaptionedFeatures
from recap.data.captions import load_captions
from recap.data.features import open_features
from recap.decoders.build import NAMES, build_decoder, save_decoder
from recap.distribution.workers import ALONE, Worker
from recap.errors import InputError
from recap.fingerprint import fingerprint
from recap.training.checkpoints import Checkpoints
from recap.training.config import TrainConfig
from recap.training.loop import Recipe, Report, Task, fit
from recap.training.optimizer import make_optimizer
from recap.training.seeds import derive_seed
from recap.training.state import EPOCH_COLUMNS, STEP_COLUMNS, TrainingState


def train(
    name: str,
    captions_directory: Path,
    features_directory: Path,
    output: Path,
    config: TrainConfig,
    device: torch.device,
    report: Report,
    checkpoints: Path,
    worker: Worker = ALONE,
) -> dict[str, float]:
    """Fit one decoder and write weights, description, history and summary.

    Args:
        name: "rnn", "lstm" or "transformer".
        captions_directory: what the stage `tokenize` wrote.
        features_directory: train.h5 and val.h5, "features" (I, D) float32.
        output: receives weights.safetensors and model.json of the epoch with the lowest validation loss,
            history.csv (an epoch a row), history_steps.csv (a step a row) and summary.json.
        config: the recipe and the sizes.
        device: where to compute.
        report: receives live metrics and their step or epoch.
        checkpoints: a folder of this machine's, for what a killed run needs to go on.
        worker: which of the processes that share the work this is; the first one writes.

    Returns:
        The content of summary.json: parameters, epochs and steps done, best epoch and its losses.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; a checkpoint is written.
        InputError: there is no such decoder, a file is absent or does not fit the others, the training loss
            is not finite, or another process trains the same decoder with the same checkpoints.
    """
    if name not in NAMES:
        raise InputError(f"train: expected one of {', '.join(NAMES)}, received {name!r}")
    captions = load_captions(captions_directory)
    splits = {
        split: CaptionedFeatures(*captions.of(split), open_features(features_directory / f"{split}.h5"))
        for split in ("train", "val")
    }
    settings = asdict(config)
    sizes = settings[name]
    recipe = Recipe(
        epochs=sizes.pop("epochs"),
        learning_rate=sizes.pop("learning_rate"),
        **{
            key: settings[key]
            for key in ("batch_size", "warmup_steps", "gradient_clip", "patience", "seed", "precision")
        },
    )
    model = {
        "name": name,
        "feature_dim": splits["train"].features.shape[1],
        "vocabulary_size": len(captions.vocabulary),
        **sizes,
    }
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "initialisation"))
    decoder = build_decoder(model, generator).to(device)
    if config.compile:
        decoder.hidden = torch.compile(decoder.hidden, dynamic=True)  # type: ignore[method-assign]
    torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
    state = TrainingState(decoder, make_optimizer(decoder, config.weight_decay))
    task = Task(name, splits["train"], splits["val"], recipe, worker)

    machine = [str(device), torch.get_num_threads(), worker.ranks, config.compile]
    settings_that_matter = [asdict(recipe), model, config.weight_decay, *machine]
    inputs = [captions_directory / "captions.h5", *(features_directory / f"{split}.h5" for split in splits)]
    with Checkpoints(checkpoints / fingerprint(settings_that_matter, inputs), worker=worker) as kept:
        kept.resume(state)
        fit(task, state, report, kept.save_now_and_then, kept.interrupted)
        summary = _summarise(state)
        if worker.rank == 0:
            state.decoder.load_state_dict(state.best)
            save_decoder(output, state.decoder, model)
            write_csv(output / "history.csv", EPOCH_COLUMNS, state.epochs)
            write_csv(output / "history_steps.csv", STEP_COLUMNS, state.steps)
            write_json(output / "summary.json", summary)
        kept.clear()
    return summary


def _summarise(state: TrainingState) -> dict[str, float]:
    best = dict(zip(EPOCH_COLUMNS, state.epochs[state.best_epoch() - 1], strict=True))
    return {
        "parameters": sum(value.numel() for value in state.decoder.parameters()),
        "epochs": len(state.epochs),
        "steps": len(state.steps),
        "best_epoch": state.best_epoch(),
        "training_loss": best["training_loss"],
        "validation_loss": best["validation_loss"],
    }

"""Fits a decoder to captions and features on disk and writes models/<decoder>/."""

from pathlib import Path

import torch

from recap.core.artifacts import write_csv, write_json
from recap.core.feature_files import open_features
from recap.decoders.build import build_decoder, describe, save_decoder
from recap.decoders.config import DecoderConfig
from recap.metrics.tokenization.by_name import tokenize_groups, tokenizer
from recap.runtime.checkpoints import Checkpoints
from recap.runtime.fingerprint import fingerprint
from recap.runtime.workers import ALONE, Worker
from recap.text.batches import CaptionedFeatures
from recap.text.captions import Captions, load_captions
from recap.text.coco_files import read_references
from recap.training.config import TrainConfig
from recap.training.loop import Report, Task, fit
from recap.training.optimizer import make_optimizer
from recap.training.seeds import derive_seed
from recap.training.self_critical import RewardedImages, refine
from recap.training.state import EPOCH_COLUMNS, REWARD_COLUMNS, STEP_COLUMNS, TrainingState


def train(
    name: str,
    captions_directory: Path,
    features_directory: Path,
    output: Path,
    config: TrainConfig,
    decoder_config: DecoderConfig,
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
        output: receives weights.safetensors and model.json of the weights that ``train.keep`` and the
            self-critical epochs leave, history.csv (an epoch a row), history_steps.csv (a step a row),
            history_self_critical.csv (a self-critical step a row, where there are any) and summary.json.
        config: the group `train`.
        decoder_config: the decoder's own settings.
        device: where to compute.
        report: receives live metrics and their step or epoch.
        checkpoints: a folder of this machine's, for what a killed run needs to go on.
        worker: which of the processes that share the work this is; the first one writes.

    Returns:
        The content of summary.json: parameters, epochs and steps done, the epoch kept and its losses, and
        after self-critical epochs their number and the mean reward in the last one.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; a checkpoint is written.
        InputError: a file is absent or does not fit the others, the training loss
            is not finite, or another process trains the same decoder with the same checkpoints.
    """
    captions = load_captions(captions_directory)
    splits = {
        split: CaptionedFeatures(*captions.of(split), open_features(features_directory / f"{split}.h5"))
        for split in ("train", "val")
    }
    width = splits["train"].features.shape[1]
    model = describe(name, decoder_config, width, len(captions.vocabulary))
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "initialisation"))
    decoder = build_decoder(model, generator).to(device)
    torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
    state = TrainingState(decoder, make_optimizer(decoder, config.weight_decay))
    task = Task(name, splits["train"], splits["val"], config, decoder_config, worker)

    settings_that_matter = [config, decoder_config, model, str(device), torch.get_num_threads(), worker.ranks]
    inputs = [captions_directory / "captions.h5", *(features_directory / f"{split}.h5" for split in splits)]
    if config.self_critical.epochs:
        inputs.append(captions_directory / "references_train.json")
    with Checkpoints(checkpoints / fingerprint(settings_that_matter, inputs), worker=worker) as kept:
        kept.resume(state)
        fit(task, state, report, kept.save_now_and_then, kept.interrupted)
        if config.self_critical.epochs:
            images = _rewarded_images(captions_directory, captions, splits["train"])
            refine(name, images, config, state, report, kept.save_now_and_then, worker)
        summary = _summarise(state, config.keep)
        if worker.rank == 0:
            state.decoder.load_state_dict(state.best)
            save_decoder(output, state.decoder, model)
            write_csv(output / "history.csv", EPOCH_COLUMNS, state.epochs)
            write_csv(output / "history_steps.csv", STEP_COLUMNS, state.steps)
            if state.rewards:
                write_csv(output / "history_self_critical.csv", REWARD_COLUMNS, state.rewards)
            write_json(output / "summary.json", summary)
        kept.clear()
    return summary


def _rewarded_images(directory: Path, captions: Captions, data: CaptionedFeatures) -> RewardedImages:
    references = read_references(directory / "references_train.json").captions
    tokenized = tokenize_groups(tokenizer("ptb"), references)
    return RewardedImages(data.features, tokenized, captions.vocabulary, data.captions.shape[1])


def _summarise(state: TrainingState, keep: str) -> dict[str, float]:
    kept_epoch = len(state.epochs) if keep == "last" else state.best_epoch()
    kept = dict(zip(EPOCH_COLUMNS, state.epochs[kept_epoch - 1], strict=True))
    summary: dict[str, float] = {
        "parameters": sum(value.numel() for value in state.decoder.parameters()),
        "epochs": len(state.epochs),
        "steps": len(state.steps),
        "best_epoch": kept_epoch,
        "training_loss": kept["training_loss"],
        "validation_loss": kept["validation_loss"],
    }
    if state.rewards:
        epochs = int(state.rewards[-1][1])
        last = [row[2] for row in state.rewards if row[1] == epochs]
        summary |= {"self_critical_epochs": epochs, "reward": sum(last) / len(last)}
    return summary

"""Fits a decoder to captions and features on disk and writes models/<decoder>/."""

from pathlib import Path

import torch

from recap.core.artifacts import write_csv, write_json
from recap.core.feature_files import open_features, read_grid
from recap.core.raw_data import LANGUAGE, load_raw
from recap.decoders.build import build_decoder, describe, save_decoder
from recap.decoders.config import DecoderConfig
from recap.errors import InputError
from recap.metrics.tokenization.by_name import tokenize_groups, tokenizer
from recap.runtime.checkpoints import Checkpoints
from recap.runtime.fingerprint import fingerprint
from recap.runtime.setup import has_bfloat16
from recap.runtime.workers import ALONE, Worker
from recap.text.batches import CaptionedFeatures
from recap.text.captions import language_path, load_captions, load_language
from recap.text.coco_files import read_references
from recap.training.config import TrainConfig
from recap.training.language import LANGUAGE_COLUMNS, learn_language, with_features
from recap.training.loop import Report, Task, fit
from recap.training.optimizer import make_optimizer
from recap.training.seeds import derive_seed
from recap.training.self_critical import RewardedImages, RewardedLanguage, refine
from recap.training.state import EPOCH_COLUMNS, REWARD_COLUMNS, STEP_COLUMNS, TrainingState
from recap.training.validation import read_validation


def train(
    name: str,
    raw_directory: Path,
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
        name: of the decoder.
        raw_directory: written by the stage `fetch`; its annotations are read where captions are scored or
            claims rewarded.
        captions_directory: written by the stage `tokenize`.
        features_directory: train.h5 and validation.h5, "features" (I, D) float32, and perhaps grid.json.
        output: receives weights.safetensors and model.json of the weights that are kept, history.csv
            (epochs), history_steps.csv, history_language.csv and history_self_critical.csv (if any) and
            summary.json.
        config: the group `train`.
        decoder_config: the decoder's own settings.
        device: where to compute.
        report: receives live metrics and their step or epoch.
        checkpoints: a folder of this machine, which lets a killed run go on.
        worker: one of the processes that share the work; the first one writes.

    Returns:
        The content of summary.json.

    Raises:
        SystemExit: Ctrl-C or SIGTERM came; a checkpoint is written.
        InputError: a file is absent or does not fit the others, claims are rewarded where nothing tells what
            is so, the processor has no bfloat16, the training loss is not finite, or another process trains
            the same decoder with the same checkpoints.
    """
    if (config.precision, device.type) == ("bfloat16", "cpu") and not has_bfloat16():
        raise InputError(
            "train.precision: expected float32 with runtime.arithmetic: portable, and on a processor without "
            "AVX-512, received bfloat16"
        )
    captions = load_captions(captions_directory)
    splits = {
        split: CaptionedFeatures(*captions.of(split), open_features(features_directory / f"{split}.h5"))
        for split in ("train", "validation")
    }
    grid = read_grid(features_directory)
    width = splits["train"].features.shape[1] - grid[0] * grid[1]
    model = describe(name, decoder_config, width, len(captions.vocabulary), grid)
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "initialisation"))
    decoder = build_decoder(model, generator).to(device)
    torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
    state = TrainingState(decoder, make_optimizer(decoder, config.weight_decay))
    validation = splits["validation"]
    longest = validation.captions.shape[1] - 1  # without <START>
    scores = None
    if worker.rank == 0:  # scores choose nothing, so the others go on without them
        scores = read_validation(
            raw_directory,
            captions_directory,
            validation.features,
            captions.vocabulary,
            longest,
            config.scored_images,
        )
    task = Task(name, splits["train"], validation, config, decoder_config, worker, scores)

    settings_that_matter = [config, decoder_config, model, str(device), torch.get_num_threads(), worker.ranks]
    inputs = [captions_directory / "captions.h5", *(features_directory / f"{split}.h5" for split in splits)]
    inputs += _texts(raw_directory, captions_directory, config)
    encoded_language = load_language(captions_directory)
    if encoded_language:
        language = with_features(encoded_language, features_directory)
        inputs += [language_path(captions_directory), features_directory / f"{LANGUAGE}.h5"]
    elif drawn := config.self_critical.language_images:
        setting = "train.self_critical.language_images"
        raise InputError(f"{setting}: expected 0 without data.language_captions, received {drawn}")
    language_state = TrainingState(decoder, make_optimizer(decoder, config.weight_decay))
    key = fingerprint(settings_that_matter, inputs)
    language_checkpoints = Checkpoints(checkpoints / f"{key}-{LANGUAGE}", worker=worker)
    if encoded_language:
        with language_checkpoints:
            language_checkpoints.resume(language_state)
            learn_language(
                task,
                language,
                language_state,
                report,
                language_checkpoints.save_now_and_then,
                language_checkpoints.interrupted,
            )
            if worker.rank == 0:
                language_checkpoints.save(language_state)  # kept until the training on images has ended
    with Checkpoints(checkpoints / key, worker=worker) as kept:
        kept.resume(state)
        fit(task, state, report, kept.save_now_and_then, kept.interrupted)
        if config.self_critical.epochs:
            references = read_references(captions_directory / "references_train.json").captions
            tokenized = tokenize_groups(tokenizer("ptb"), references)
            data = splits["train"]
            graphs = load_raw(raw_directory).scenes("train") if config.self_critical.claim else None
            images = RewardedImages(
                data.features, tokenized, captions.vocabulary, data.captions.shape[1], graphs
            )
            rewarded = None
            if encoded_language and config.self_critical.language_images:
                rewarded = RewardedLanguage(encoded_language, language.features, captions.vocabulary)
            refine(name, images, config, state, report, kept.save_now_and_then, worker, rewarded)
        summary = _summarise(state, config.keep)
        if worker.rank == 0:
            state.decoder.load_state_dict(state.best)
            save_decoder(output, state.decoder, model)
            write_csv(output / "history.csv", (*EPOCH_COLUMNS, *task.score_columns), state.epochs)
            write_csv(output / "history_steps.csv", STEP_COLUMNS, state.steps)
            if encoded_language:
                write_csv(output / "history_language.csv", LANGUAGE_COLUMNS, language_state.steps)
            if state.rewards:
                write_csv(output / "history_self_critical.csv", REWARD_COLUMNS, state.rewards)
            write_json(output / "summary.json", summary)
        kept.clear()
    language_checkpoints.clear()
    return summary


def _texts(raw_directory: Path, captions_directory: Path, config: TrainConfig) -> list[Path]:
    """Return the files of captions and scene graphs that rewards and scores are made of."""
    claim, files = config.self_critical.claim, []
    if config.self_critical.epochs:
        files.append(captions_directory / "references_train.json")
    if config.scored_images:
        files.append(captions_directory / "references_validation.json")
    if not claim and not config.scored_images:
        return files
    raw = load_raw(raw_directory)
    if claim and not raw.source.scenes:
        raise InputError(
            f"train.self_critical.claim: expected 0 for images without scene graphs, received {claim:g}"
        )
    if claim:
        files.append(raw.scenes_path("train"))
    if config.scored_images and raw.source.scenes:
        files.append(raw.scenes_path("validation"))
    return files


def _summarise(state: TrainingState, keep: str) -> dict[str, float]:
    kept_epoch = len(state.epochs) if keep == "last" else state.best_epoch()
    kept = dict(zip(EPOCH_COLUMNS, state.epochs[kept_epoch - 1], strict=False))
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

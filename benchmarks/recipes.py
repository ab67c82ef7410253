"""What options of the params groups `reduce` and `train` give: mean and spread over seeds, on two data sets.

A run fits everything, PCA and concepts too, on the training images; the validation images choose options and
the epoch. It is scored on them and on the test images, which choose nothing. A run is a line of
docs/recipes.jsonl; what is there is not done again, so the work can be cut into pieces:

    python benchmarks/recipes.py run coco CHECKOUT [--minutes 4] [--only NAME ...] [--seeds 5]
    python benchmarks/recipes.py run scenes CHECKOUT
    python benchmarks/recipes.py table
    python benchmarks/recipes.py best CHECKOUT MODELS [--split test]
    python benchmarks/recipes.py claims CHECKOUT [--seeds 3]

CHECKOUT holds data/ as the pipeline left it, for the mini archive of ../shared after README.md's command.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from recap.core.feature_files import open_features
from recap.core.raw_data import load_raw, read_json
from recap.decoders.build import load_decoder
from recap.decoders.config import DecodersConfig
from recap.decoders.decoder import Decoder
from recap.decoders.ensemble import Ensemble
from recap.decoding.config import DecodingConfig
from recap.decoding.generate import generate
from recap.decoding.searches import make_constraints, make_search
from recap.errors import InputError
from recap.evaluation.evaluate import is_true
from recap.features.config import ReduceConfig
from recap.features.reduce import reduce
from recap.metrics.scores import score_captions
from recap.metrics.tokenization.by_name import tokenize_groups
from recap.metrics.tokenization.treebank import tokenize
from recap.metrics.truth import check_caption
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.text.batches import CaptionedFeatures
from recap.text.captions import load_captions
from recap.text.coco_files import read_references
from recap.training.config import SelfCriticalConfig, TrainConfig
from recap.training.optimizer import make_optimizer
from recap.training.self_critical import RewardedImages, refine
from recap.training.state import TrainingState
from recap.training.train import train

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.imports import ROOT
from tests.settings import GREEDY, settings

RESULTS = ROOT / "docs" / "recipes.jsonl"
SCORED = ("validation", "test")
THREADS = 1

DECODINGS = {
    "greedy": GREEDY,
    "beam": replace(GREEDY, search="beam", beam_width=3, length_normalisation=0.7),
    "consensus": replace(
        GREEDY,
        search="consensus",
        candidates=60,
        temperature=0.5,
        pseudo_references=60,
        pseudo_reference_temperature=1.0,
    ),
    "neighbours": replace(
        GREEDY,
        search="consensus",
        candidates=200,
        temperature=0.5,
        pseudo_references=200,
        pseudo_reference_temperature=1.0,
        neighbours=100,
    ),
}

Changes = dict[str, Any]
"""Overrides of the groups `reduce` and `train`; a group in a group overrides that group's keys."""

PLAIN: dict[str, Changes] = {
    "coco": {
        "reduce": {"components": 128, "whiten": True},
        "train": {
            "batch_size": 32,
            "label_smoothing": 0.0,
            "scored_images": 0,
        },
        "decoders": {
            "lstm": {
                "wordvec_dim": 256,
                "hidden_dim": 512,
                "dropout": 0.5,
                "learning_rate": 0.0015,
                "epochs": 6,
            },
        },
    },
    "scenes": {
        "reduce": {},
        "train": {"label_smoothing": 0.0, "scored_images": 0},
        "decoders": {"lstm": {"epochs": 4, "learning_rate": 0.002}},
    },
}
SELF_CRITICAL = {
    "epochs": 6,
    "learning_rate": 0.0003,
    "images": 32,
    "language_images": 0,
    "samples": 5,
    "claim": 0.0,
}
CHOSEN: Changes = {
    "reduce": {"concepts": 64},
    "train": {"keep": "last", "average_decay": 0.998},
    "decoders": {"lstm": {"epochs": 15}},
}
FEATURES: dict[str, Changes] = {
    **{f"penalty {penalty}": {"concepts_penalty": float(penalty)} for penalty in (0.05, 0.1, 0.2, 0.8)},
    "128 concepts, 64 components": {"concepts": 128, "components": 64},
}
"""Changes of ``CHOSEN``'s group `reduce`: an ensemble's members, each with features and a seed of its own."""
TRAINING: dict[str, Changes] = {
    "no warm-up": {"train": {"warmup_steps": 0}},
    "constant rate": {"train": {"schedule": "constant"}},
    "label smoothing 0.1": {"train": {"label_smoothing": 0.1}},
    "average 0.998": {"train": {"average_decay": 0.998}},
    "bfloat16": {"train": {"precision": "bfloat16"}},
}
CLAIMS = (None, 0.0, 0.1, 0.2, 0.5)
"""Of self-critical training on scenes, what a claim is worth; None: no such training."""
SHORT_SEARCHES = ("greedy", "beam")
LONG_SEARCHES: dict[str, dict[str, tuple[str, ...]]] = {
    "coco": {
        **dict.fromkeys(("plain", "concepts 64", "self-critical", "chosen, self-critical"), ("consensus",)),
        "chosen": ("consensus", "neighbours"),
    },
    "scenes": {},
}
"""Of which recipes captions are searched for in these ways too, which takes longer than to train them."""
OPTIONS: dict[str, dict[str, Changes]] = {
    "coco": {
        "plain": {},
        "PCA 512, not whitened": {"reduce": {"components": 512, "whiten": False}},
        "concepts 64": {"reduce": {"concepts": 64}},
        **TRAINING,
        "self-critical": {"train": {"self_critical": SELF_CRITICAL}},
        "chosen": CHOSEN,
        "chosen, self-critical": {
            "reduce": CHOSEN["reduce"],
            "train": {**CHOSEN["train"], "self_critical": SELF_CRITICAL},
            "decoders": CHOSEN["decoders"],
        },
    },
    "scenes": {
        "plain": {},
        "whitened": {"reduce": {"whiten": True}},
        "concepts 64": {"reduce": {"concepts": 64}},
        **TRAINING,
        "self-critical": {"train": {"self_critical": SELF_CRITICAL | {"epochs": 1}}},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What each option of a recipe gives.")
    actions = parser.add_subparsers(dest="action", required=True)
    action = actions.add_parser("run", help="train what is not in docs/recipes.jsonl yet")
    action.add_argument("data", choices=sorted(OPTIONS))
    action.add_argument("checkout", type=Path, help="folder with data/ of the pipeline")
    action.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after that long")
    action.add_argument("--only", nargs="*", help="names of recipes")
    action.add_argument("--seeds", type=int, default=5)
    action = actions.add_parser("best", help="the best models and ensembles on the mini archive")
    action.add_argument("checkout", type=Path, help="folder with data/ of the pipeline")
    action.add_argument("models", type=Path, help="folder for the models")
    action.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after that long")
    action.add_argument("--split", choices=SCORED, default=SCORED[0], help="the images to score on")
    action = actions.add_parser("claims", help="scenes: what a claim is worth in a reward, CIDEr-D and truth")
    action.add_argument("checkout", type=Path, help="folder with data/ of the pipeline")
    action.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after that long")
    action.add_argument("--seeds", type=int, default=3)
    actions.add_parser("table", help="print docs/recipes.jsonl as Markdown")
    options = parser.parse_args()
    if options.action == "table":
        print(table(results()), claims_table(results()), sep="\n\n")
        return
    unknown = [name for name in getattr(options, "only", None) or () if name not in OPTIONS[options.data]]
    if unknown:
        parser.error(f"--only: expected some of {', '.join(OPTIONS[options.data])}, received {unknown[0]}")
    try:
        work(options)
    except InputError as error:
        parser.exit(1, f"{error}\n")


def work(options: argparse.Namespace) -> None:
    """Run the action ``run``, ``best`` or ``claims``.

    Raises:
        InputError: the checkout does not hold the data.
    """
    wanted = getattr(options, "data", "scenes" if options.action == "claims" else "coco")
    source = load_raw(options.checkout / "data" / "raw").source.source
    if source != wanted:
        raise InputError(f"{options.checkout}: expected data of the source {wanted}, received {source}")
    if options.action == "best":
        best(options.checkout / "data", options.models, options.split, options.minutes)
        return
    if options.action == "claims":
        weigh_claims(options.checkout / "data", options.seeds, options.minutes)
        return
    end = time.monotonic() + 60 * options.minutes
    done = {(row["data"], row["recipe"], row["seed"]) for row in results() if "recipe" in row}
    with tempfile.TemporaryDirectory() as folder:
        link(options.checkout / "data", Path(folder))
        for seed in range(options.seeds):
            for name, changes in OPTIONS[options.data].items():
                left_out = options.only and name not in options.only
                if left_out or (options.data, name, seed) in done or time.monotonic() > end:
                    continue
                row = {"data": options.data, "recipe": name, "seed": seed}
                searches = SHORT_SEARCHES + LONG_SEARCHES[options.data].get(name, ())
                row |= run(options.data, changes, seed, options.checkout / "data", Path(folder), searches)
                keep(row)


def keep(row: dict[str, Any]) -> None:
    """Write a run to docs/recipes.jsonl, and print it."""
    with open(RESULTS, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def results() -> list[dict[str, Any]]:
    """The runs done so far."""
    if not RESULTS.is_file():
        return []
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def link(data: Path, folder: Path) -> None:
    """Let captions/ and features/ of the pipeline appear in a folder."""
    for part in ("captions", "features"):
        if not (folder / part).exists():
            (folder / part).symlink_to((data / part).resolve())


def run(
    data_name: str,
    changes: Changes,
    seed: int,
    data: Path,
    folder: Path,
    searches: Sequence[str],
) -> dict[str, Any]:
    """Train once on what `link` shows and score; seconds are those of training on ``THREADS`` threads."""
    start = time.monotonic()
    summary = fit(data_name, changes, seed, folder, folder / "model")
    row: dict[str, Any] = {"seconds": round(time.monotonic() - start, 1)}
    row |= {"epochs": summary["epochs"], "kept_epoch": summary["best_epoch"]}
    decoder = load_decoder(folder / "model")
    for split in SCORED:
        rows = rows_of(data, split)
        for search in searches:
            texts = caption(decoder, [folder], split, rows, DECODINGS[search])
            row[f"{split}_{search}"] = score(texts, data, split, rows)
            if search == "greedy":
                row[f"{split}_words"] = round(statistics.mean(len(text.split()) for text in texts), 2)
                path = data / "raw" / "annotations" / f"scenes_{split}.json"
                if path.is_file():
                    graphs = read_json(path)
                    truths = [
                        is_true(check_caption(text, graphs[index]))
                        for text, index in zip(texts, rows, strict=True)
                    ]
                    row[f"{split}_truth"] = round(statistics.mean(truths), 4)
    return row


def weigh_claims(data: Path, seeds: int, minutes: float) -> None:
    """Train plainly once a seed; from there, train self-critically with each of ``CLAIMS`` and score."""
    end = time.monotonic() + 60 * minutes
    done = {(row["seed"], row["claim"]) for row in results() if "claim" in row}
    graphs = {split: load_raw(data / "raw").scenes(split) for split in ("train", *SCORED)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        link(data, folder)
        for seed in range(seeds):
            fitted = False
            for claim in CLAIMS:
                if (seed, claim) in done or time.monotonic() > end:
                    continue
                if not fitted:
                    fit("scenes", {}, seed, folder, folder / "model")
                    fitted = True
                decoder = load_decoder(folder / "model")
                if claim is not None:
                    train_self_critically(decoder, folder, graphs["train"], seed, claim)
                row: dict[str, Any] = {"data": "scenes", "claim": claim, "seed": seed}
                for split in SCORED:
                    rows = rows_of(data, split)
                    texts = caption(decoder.eval(), [folder], split, rows, GREEDY)
                    pairs = zip(texts, rows, strict=True)
                    claims = [check_caption(text, graphs[split][index]) for text, index in pairs]
                    means = {
                        "greedy": score(texts, data, split, rows),
                        "truth": statistics.mean(map(is_true, claims)),
                        "claims": statistics.mean(map(len, claims)),
                        "words": statistics.mean(len(text.split()) for text in texts),
                    }
                    row |= {f"{split}_{column}": round(value, 4) for column, value in means.items()}
                keep(row)


def train_self_critically(
    decoder: Decoder, folder: Path, graphs: Sequence[Mapping[str, Any]], seed: int, claim: float
) -> None:
    """Do what the stage `train` does after its epochs of cross-entropy, with the recipe of scenes."""
    values = json.dumps(SELF_CRITICAL | {"epochs": 1, "claim": claim})
    own = TypeAdapter(SelfCriticalConfig).validate_json(values)
    config = settings(TrainConfig, seed=seed, self_critical=own)
    captions, features = load_captions(folder / "captions"), open_features(folder / "reduced" / "train.h5")
    references = read_references(folder / "captions" / "references_train.json").captions
    longest = captions.of("train")[0].shape[1]
    tokenized = tokenize_groups(tokenize, references)
    images = RewardedImages(features, tokenized, captions.vocabulary, longest, graphs if claim else None)
    best = {name: value.clone() for name, value in decoder.state_dict().items()}
    state = TrainingState(decoder, make_optimizer(decoder, config.weight_decay), best=best)
    with contextlib.redirect_stderr(io.StringIO()):
        refine("lstm", images, config, state, lambda metrics, step: None, lambda state: None)
    decoder.load_state_dict(state.best)


def rows_of(data: Path, split: str) -> list[int]:
    """The images of a split, of scenes those whose combinations training has."""
    images = read_json(data / "captions" / f"references_{split}.json")["images"]
    return [row for row, image in enumerate(images) if image.get("part", "seen") == "seen"]


def best(data: Path, folder: Path, split: str, minutes: float) -> None:
    """Train the members; score each, and all as an ensemble.

    Models that are in the folder are not trained again; begins none after ``minutes``.
    """
    end = time.monotonic() + 60 * minutes
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: expected a folder for the models, received: {error.strerror}") from None
    rows = rows_of(data, split)
    folders = {name: folder / name.replace(" ", "_") for name in FEATURES}
    for seed, (name, changes) in enumerate(FEATURES.items()):
        own = folders[name]
        own.mkdir(exist_ok=True)
        link(data, own)
        if not (own / "model" / "summary.json").is_file():
            if time.monotonic() > end:
                print(f"not trained in {minutes:g} minutes: {name}; run again to go on")
                return
            fit("coco", merge(CHOSEN, {"reduce": changes}), seed, own, own / "model")
    decoders = [load_decoder(own / "model") for own in folders.values()]
    widths = [open_features(own / "reduced" / "test.h5").shape[1] for own in folders.values()]
    models: dict[str, tuple[Decoder | Ensemble, list[Path]]] = {
        name: (decoder, [own]) for (name, own), decoder in zip(folders.items(), decoders, strict=True)
    }
    models[f"ensemble of {len(folders)}"] = (Ensemble(decoders, widths).eval(), list(folders.values()))
    print("| model | " + " | ".join(DECODINGS) + " |\n|---" + "|---" * len(DECODINGS) + "|")
    for name, (model, own_folders) in models.items():
        texts = [caption(model, own_folders, split, rows, decoding) for decoding in DECODINGS.values()]
        scores = [score(own_texts, data, split, rows) for own_texts in texts]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in scores) + " |", flush=True)


def fit(data_name: str, changes: Changes, seed: int, folder: Path, output: Path) -> dict[str, float]:
    """Reduce features/ to reduced/ and train an LSTM, all in a folder, which has captions/ too.

    Settings are those of params.yaml, those of ``PLAIN`` and the changes.
    """
    device = configure(RuntimeConfig("native", THREADS, "cpu"))
    values = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for overrides in (PLAIN[data_name], changes, {"train": {"seed": seed}}):
        values = merge(values, overrides)
    reduction = TypeAdapter(ReduceConfig).validate_json(json.dumps(values["reduce"]))
    config = TypeAdapter(TrainConfig).validate_json(json.dumps(values["train"]))
    decoders = TypeAdapter(DecodersConfig).validate_json(json.dumps(values["decoders"]))
    captions, reduced = folder / "captions", folder / "reduced"
    with tempfile.TemporaryDirectory() as checkpoints, contextlib.redirect_stderr(io.StringIO()):
        reduce(folder / "features", captions, reduced, reduction, THREADS)
        return train(
            "lstm",
            folder / "raw",
            captions,
            reduced,
            output,
            config,
            decoders.lstm,
            device,
            lambda metrics, step: None,
            Path(checkpoints),
        )


def caption(
    model: Decoder | Ensemble, folders: Sequence[Path], split: str, rows: list[int], decoding: DecodingConfig
) -> list[str]:
    """Captions of some images of a split, by a model of the folders' training images.

    It reads the features reduced/ of each folder, side by side.
    """
    captions = load_captions(folders[0] / "captions")
    reduced = {
        part: np.concatenate([open_features(own / "reduced" / f"{part}.h5") for own in folders], axis=1)
        for part in ("train", split)
    }
    training = CaptionedFeatures(*captions.of("train"), reduced["train"])
    features = reduced[split][rows]
    constraints = make_constraints(decoding, captions.vocabulary)
    search = make_search(decoding, training)
    with contextlib.redirect_stderr(io.StringIO()):
        found = generate(model, features, captions.vocabulary, constraints, 256, search)
    return [one.text for one in found]


def score(texts: list[str], data: Path, split: str, rows: list[int]) -> float:
    """CIDEr-D against the original captions."""
    originals = read_references(data / "captions" / f"references_{split}.json").captions
    references = tokenize_groups(tokenize, [originals[index] for index in rows])
    return round(float(score_captions(tokenize(texts), references).cider_d.mean()), 4)


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the changes, group by group."""
    merged = dict(values)
    for key, value in changes.items():
        merged[key] = merge(merged[key], value) if isinstance(value, dict) else value
    return merged


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a table for each set of data, mean ± standard deviation over seeds."""
    lines: list[str] = []
    for data, recipes in OPTIONS.items():
        searches = list(DECODINGS) if LONG_SEARCHES[data] else list(SHORT_SEARCHES)
        columns = [f"{part}_{search}" for part in SCORED for search in searches]
        columns += [f"{part}_truth" for part in SCORED] if data == "scenes" else []
        columns += ["test_words", "kept_epoch", "seconds"]
        lines += ["", f"**{data}**", "", f"| recipe | seeds | {' | '.join(columns).replace('_', ' ')} |"]
        lines.append("|---" * (len(columns) + 2) + "|")
        measured = [row["recipe"] for row in rows if row["data"] == data and "recipe" in row]
        for name in dict.fromkeys([*recipes, *measured]):  # some were removed since they were measured
            own = [row for row in rows if row["data"] == data and row.get("recipe") == name]
            if own:
                cells = [
                    spread([row[column] for row in own], column) if all(column in row for row in own) else ""
                    for column in columns
                ]
                lines.append(f"| {name} | {len(own)} | {' | '.join(cells)} |")
    return "\n".join(lines).strip()


def claims_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: what a claim is worth, and what captions of the test images are then like."""
    columns = [f"{split}_{column}" for split in SCORED for column in ("greedy", "truth")]
    columns += ["test_claims", "test_words"]
    lines = [
        f"| claim | seeds | {' | '.join(columns).replace('_', ' ')} |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for claim in CLAIMS:
        own = [row for row in rows if row.get("claim", ...) == claim]
        if own:
            cells = [spread([row[column] for row in own], column) for column in columns]
            name = "no self-critical epoch" if claim is None else claim
            lines.append(f"| {name} | {len(own)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float], column: str) -> str:
    """The mean, and for scores the standard deviation."""
    digits = 0 if column == "seconds" else 1
    if column in ("kept_epoch", "seconds", "test_words"):
        return f"{statistics.mean(values):.{digits}f}"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {deviation:.3f}"


if __name__ == "__main__":
    main()

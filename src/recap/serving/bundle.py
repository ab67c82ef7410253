"""A bundle: all that a captioner needs, in a folder that captions without a checkout, DVC or MLflow.

``recap.loading`` reads it.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.artifacts import write_bytes, write_json, write_text
from recap.core.hashes import hash_output
from recap.core.input_files import parse_json
from recap.errors import InputError
from recap.metrics.files.tables import format_rows
from recap.workspace.new_folder import new_folder

PARTS = {
    "models/backbone/backbone.json": "backbone/backbone.json",
    "models/backbone/weights.safetensors": "backbone/weights.safetensors",
    "data/captions/vocabulary.json": "vocabulary.json",
    "data/reduced/pca.safetensors": "pca.safetensors",
    "data/reduced/familiarity.safetensors": "familiarity.safetensors",
}
"""Where the files of a run lie in a bundle, the decoders' apart."""
OF_DECODER = ("model.json", "weights.safetensors")
DATA = ("data/raw", "data/captions", "data/reduced")
SOURCE, COUNTS = "data/raw/annotations/source.json", "reports/fetch/metrics.json"
SCORES = "reports/decoders/{}/metrics.json"
NAMES = {"cider_d": "CIDEr-D", "bleu_4": "BLEU-4", "rouge_l": "ROUGE-L", "truth": "truth"}


@dataclass(frozen=True)
class Run:
    """What a run of the pipeline has left, by path from the checkout's root on; None where there is none."""

    read: Callable[[str], bytes | None]  # the content of a file
    digest: Callable[[str], str | None]  # the MD5 of a file or folder, as DVC forms it


def run_around(models: Path) -> Run:
    """Return the run whose decoders lie in a folder, under whatever name, as its checkout holds it."""
    root = Path(os.path.normpath(models / ".."))  # also where models is a link to another disk

    def place(path: str) -> Path:
        folder, _, rest = path.partition("/")
        return models / rest if folder == "models" else root / path

    def read(path: str) -> bytes | None:
        return place(path).read_bytes() if place(path).is_file() else None

    def digest(path: str) -> str | None:
        return hash_output(place(path)) if place(path).exists() else None

    return Run(read, digest)


def write_bundle(
    folder: Path, run: Run, decoders: Sequence[str], decoding: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Write a bundle; the folder appears when it is whole.

    Args:
        folder: an empty one, or none yet.
        run: where the parts come from.
        decoders: their names; several are an ensemble.
        decoding: the options of decoding that it captions with.
        settings: the groups of the run's params.yaml.

    Raises:
        InputError: a part is absent, or there is something in the folder already.
    """
    parts = PARTS | {
        f"models/{name}/{file}": f"decoders/{name}/{file}" for name in decoders for file in OF_DECODER
    }
    if run.read(f"models/backbone/{paths.ENCODER_CODE}") is not None:
        raise InputError(
            "bundle: expected a backbone of recap's own, received one that is code of yours, and a bundle "
            "carries no code; `recap init --backbone` or features.backbone chooses another"
        )
    contents = {target: run.read(source) for source, target in parts.items()}
    files = {target: content for target, content in contents.items() if content is not None}
    for target in ("vocabulary.json", *(f"decoders/{name}/{OF_DECODER[0]}" for name in decoders)):
        if target not in files:
            raise InputError(f"bundle: expected {target} of a run of the pipeline, received none")
    about = {
        "format": paths.BUNDLE_FORMAT,
        "recap": version("recap-captioning"),
        "decoders": list(decoders),
        "decoding": dict(decoding),
        "batch_size": settings["evaluate"]["batch_size"],
        "runtime": {**settings["runtime"], "device": "cpu"},
        **describe(run, decoders),
        "files": {target: hashlib.sha256(content).hexdigest() for target, content in files.items()},
    }
    with new_folder(folder) as whole:
        for target, content in files.items():
            write_bytes(whole / target, content)
        write_text(whole / "README.md", model_card(about))
        write_json(whole / paths.BUNDLE, about)


def describe(run: Run, decoders: Sequence[str]) -> dict[str, Any]:
    """Tell what decoders were trained on, ``data``, and how good they are, ``scores``."""
    source = _read_object(run, SOURCE).get("source")
    made = (*DATA, *(f"models/{name}" for name in decoders))
    return {
        "data": {
            "source": source,
            "counts": _read_object(run, COUNTS),
            "digests": {path: digest for path in made if (digest := run.digest(path))},
        },
        "scores": {name: scores for name in decoders if (scores := _scores(run, name))},
    }


def _scores(run: Run, decoder: str) -> dict[str, Any]:
    """Read what `evaluate` found, a group a part of the set."""
    metrics = _read_object(run, SCORES.format(decoder))
    return {
        part: {key: own[key] for key in ("images", *NAMES, "interval") if key in own}
        for part, own in metrics.items()
        if isinstance(own, dict) and "cider_d" in own
    }


def _read_object(run: Run, path: str) -> dict[str, Any]:
    """Read a JSON object of a run; empty where there is none."""
    value = parse_json(run.read(path) or b"{}", path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected an object, received another value")
    return value


def model_card(about: Mapping[str, Any]) -> str:
    """Return the README.md of a bundle: what it is, its use, its scores, what it was trained on."""
    data, rows = about["data"], [["decoder", "part", "images", *NAMES.values()]]
    for decoder, parts in about["scores"].items():
        for part, own in parts.items():
            interval = own.get("interval", {}).get("cider_d")
            scores = [f"{own[key]:.3f}" if key in own else "" for key in NAMES]
            if interval:
                scores[0] += f" ({interval['low']:.3f} to {interval['high']:.3f})"
            rows.append([decoder, part, str(own.get("images", "")), *scores])
    counts = data["counts"].get("train", {})
    trained = ", ".join(f"{counts[key]:,} {key}" for key in ("images", "captions") if key in counts)
    digests = [("data", "MD5, as DVC forms it"), *sorted(data["digests"].items())]
    lines = [
        f"# Captions by {' + '.join(about['decoders'])}",
        "",
        f"An image captioner trained by recap {about['recap']} on the source `{data['source']}`"
        f"{': ' if trained else ''}{trained}.",
        "",
        "```sh",
        "recap caption --model THIS_FOLDER PICTURE_OR_FOLDER...",
        "```",
        "",
        "```python",
        "import recap",
        "",
        'print(recap.load("THIS_FOLDER").caption(["picture.jpg"])[0].text)',
        "```",
        "",
        "Reading it takes recap with torch, Pillow, safetensors and NumPy, and nothing else.",
        f"All files are safetensors or JSON; `{paths.BUNDLE}` holds their SHA-256, which are checked.",
        "",
        "## How good it is",
        "",
        "A part's scores are of the images that `evaluate` captioned, CIDEr-D with its 95 % interval.",
        "",
        format_rows(rows, "markdown"),
        "",
        "It knows images like its training images and no others: it warns of an image that is unlike them,",
        "and what it then says means little.",
        "",
        "## What it was trained on",
        "",
        format_rows(digests, "markdown"),
    ]
    return "\n".join(lines) + "\n"

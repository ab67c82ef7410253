"""From a folder to a captioner: the decoders of a checkout, or a bundle, which needs no checkout.

A bundle is read with torch, Pillow, safetensors and NumPy alone, so that what else is used here, such as the
checks of options, is imported where a checkout has it.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from recap.captioner import Captioner, assemble
from recap.core import paths
from recap.core.input_files import check_regular, read_json
from recap.errors import InputError, expecting

if TYPE_CHECKING:
    from recap.decoding.config import DecodingConfig

MAKES = "`make repro` trains decoders into models/ of a checkout"
OPTIONAL = (
    "backbone/backbone.json",
    "backbone/weights.safetensors",
    "pca.safetensors",
    "familiarity.safetensors",
)
"""The files of a bundle that some captioners do without; one that is there is checked like the others."""


def load(
    models: Path | str = "models",
    decoding: "DecodingConfig | None" = None,
    device: torch.device | str = "cpu",
    decoders: Sequence[str] | None = None,
) -> Captioner:
    """Load the captioner of a run of the pipeline, or of a bundle.

    Args:
        models: "models", of a checkout; the folder of one decoder, "models/lstm"; or a bundle.
        decoding: the options of the search; None for `evaluate.decoding` of the run.
        device: where to compute.
        decoders: which decoders of the folder; several are an ensemble. None for all that the run names.

    Raises:
        InputError: as ``assemble``; or the folder holds no decoder, or not those that are asked for.
    """
    folder = Path(models)
    if (folder / paths.BUNDLE).is_file():
        return _load_bundle(folder, decoding, device, decoders)
    from recap.core.config import load_all
    from recap.core.feature_files import open_features
    from recap.text.batches import CaptionedFeatures
    from recap.text.captions import load_captions

    around = models_folder(folder)
    root = checkout_of(around)
    groups = load_all(root / paths.PARAMS)
    decoding = decoding or groups["evaluate"].decoding
    captions, reduced = root / paths.CAPTIONS, root / paths.REDUCED
    training = None
    if decoding.search == "consensus":
        features = open_features(reduced / "train.h5")
        training = CaptionedFeatures(*load_captions(captions).of("train"), features)
    names = _choose(folder, decoder_names(folder), decoders, closed=around != folder)
    for name in names:
        if not (around / name / "model.json").is_file():
            raise InputError(f"{around / name}: expected a trained decoder, received none; {MAKES}")
    _check_run(root, around, names)
    return replace(
        assemble(
            [around / name for name in names],
            captions / "vocabulary.json",
            reduced,
            around / paths.BACKBONE.name,
            device,
        ),
        decoding=decoding,
        training=training,
        batch_size=groups["evaluate"].batch_size,
    )


def models_folder(folder: Path) -> Path:
    """Return the folder of all decoders of a run, of it or of one of them.

    Raises:
        InputError: it is neither.
    """
    if (folder / "model.json").is_file():
        return Path(os.path.normpath(folder / ".."))
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected a trained decoder, the folder of several or a bundle, received none; {MAKES}"
        )
    if not any(folder.glob("*/model.json")):
        raise InputError(
            f"{folder}: expected a trained decoder or the folder of several, received neither; {MAKES}"
        )
    return folder


def checkout_of(models: Path) -> Path:
    """Return the folder around that of all decoders, also where this is a link to another disk."""
    return Path(os.path.normpath(models / ".."))


def _check_run(root: Path, models: Path, names: Sequence[str]) -> None:
    """Refuse decoders that are of another run than what lies beside them, as far as dvc.lock tells.

    Raises:
        InputError: a decoder is not that of dvc.lock, or what it was trained on was made again.
    """
    from recap.core.plain_yaml import parse_yaml

    try:
        entries = parse_yaml((root / paths.LOCK).read_bytes())["stages"].values()
        made = {out["path"]: (out["md5"], entry) for entry in entries for out in entry.get("outs", [])}
        faults = [fault for name in names for fault in _faults(models / name, made)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # no pipeline of DVC, or a lock that `recap verify` finds fault with
    if faults:
        raise InputError(f"{faults[0]}; `make repro` trains it, `recap verify` says what else differs")


def _faults(decoder: Path, made: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield how a decoder differs from the outputs of dvc.lock: path -> MD5, and the stage that made it."""
    from recap.core.hashes import hash_output

    md5, entry = made.get(f"{paths.MODELS.name}/{decoder.name}", ("", {}))
    if entry and hash_output(decoder) != md5:
        yield f"{decoder}: expected the decoder of dvc.lock, received files of another run"
    waiting, known = [entry], set[str]()
    while waiting:
        for dep in waiting.pop().get("deps", []):
            digest, maker = made.get(dep["path"], ("", {}))
            if maker and dep["md5"] != digest:
                yield f"{decoder}: expected one trained on the {dep['path']} that is here, received another"
            if maker and dep["path"] not in known:
                known.add(dep["path"])
                waiting.append(maker)


def decoder_names(models: Path) -> list[str]:
    """Return the decoders that ``load`` takes of a folder when none are named."""
    if (models / paths.BUNDLE).is_file():
        return list(read_bundle(models)["decoders"])
    from recap.core.config import load_all

    around = models_folder(models)
    if around != models:
        return [Path(os.path.normpath(models.absolute())).name]
    return list(load_all(checkout_of(around) / paths.PARAMS)["decoders"].names)


def read_bundle(folder: Path) -> dict[str, Any]:
    """Read what a bundle says of itself, after checking that its files are whole.

    Raises:
        InputError: it is of a later format, or a file is absent or another one.
    """
    path = folder / paths.BUNDLE
    about = read_json(path)
    if not isinstance(about, dict) or about.get("format") != paths.BUNDLE_FORMAT:
        found = about.get("format") if isinstance(about, dict) else about
        raise InputError(f"{path}: expected a bundle of the format {paths.BUNDLE_FORMAT}, received {found!r}")
    kinds = {"files": dict, "decoders": list, "decoding": dict, "runtime": dict, "batch_size": int}
    for key, kind in kinds.items():
        if not isinstance(about.get(key), kind) or not about[key]:
            raise InputError(f"{path}: {key}: expected that of a bundle, received {about.get(key)!r}")
    if not all(isinstance(decoder, str) for decoder in about["decoders"]):
        raise InputError(f"{path}: decoders: expected names, received {about['decoders']!r}")
    files = about["files"]
    code = folder / paths.BACKBONE.name / paths.ENCODER_CODE
    if code.exists():  # what somebody sent is never run
        raise InputError(f"{code}: expected no code in a bundle, received some")
    needed = ["vocabulary.json", *(f"decoders/{decoder}/model.json" for decoder in about["decoders"])]
    needed += [f"decoders/{decoder}/weights.safetensors" for decoder in about["decoders"]]
    needed += [name for name in OPTIONAL if (folder / name).exists()]
    for name in needed:
        if name not in files:
            raise InputError(f"{path}: files: expected {name!r} among them, received none")
    for name, digest in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{path}: expected names of files in the bundle, received {name!r}")
        check_regular(folder / name)
        reading = expecting(f"{folder / name}: expected a file of the bundle", OSError, ValueError)
        with reading, open(folder / name, "rb") as file:  # a ValueError: no path at all
            own = hashlib.file_digest(file, "sha256").hexdigest()
        if own != digest:
            raise InputError(f"{folder / name}: expected the SHA-256 {digest}, received {own}")
    return about


def _load_bundle(
    folder: Path,
    decoding: "DecodingConfig | None",
    device: torch.device | str,
    decoders: Sequence[str] | None,
) -> Captioner:
    about = read_bundle(folder)
    names = _choose(folder, about["decoders"], decoders, closed=True)
    captioner = assemble(
        [folder / "decoders" / name for name in names],
        folder / "vocabulary.json",
        folder,
        folder / paths.BACKBONE.name,
        device,
    )
    return replace(
        captioner, decoding=decoding or bundled_decoding(about), batch_size=max(about["batch_size"], 1)
    )


def bundled_decoding(about: dict[str, Any]) -> "DecodingConfig":
    """Return the options of decoding that a bundle was made with, checked where pydantic is installed."""
    try:
        from recap.core.config import parse
        from recap.decoding.config import DecodingConfig
    except ModuleNotFoundError:
        options: Any = SimpleNamespace(**about["decoding"])
        return options
    return parse("decoding", about["decoding"], DecodingConfig)


def _choose(folder: Path, own: Sequence[str], wanted: Sequence[str] | None, *, closed: bool) -> Sequence[str]:
    """Return the decoders that are asked for, of ``own`` or, unless ``closed``, of the folder."""
    if not wanted:
        return own
    there = own if closed else sorted(path.parent.name for path in folder.glob("*/model.json"))
    for name in wanted:
        if name not in there:
            raise InputError(f"{folder}: expected one of the decoders {', '.join(there)}, received {name!r}")
    return wanted

"""What the commands that compute have in common: the arithmetic, and the options of decoding."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.core import paths

if TYPE_CHECKING:
    from recap.captioner import Captioner

OPTIONS = {
    "search": "greedy, sample, beam, diverse_beam or consensus",
    "beam_width": "hypotheses an image",
    "length_normalisation": "rank by log-probability / length^this",
    "groups": "parts of a diverse beam",
    "diversity": "what a word costs that a group before has chosen",
    "candidates": "samples of a consensus",
    "pseudo_references": "samples to compare them with",
    "pseudo_reference_temperature": "of the pseudo-references",
    "neighbours": "training images whose captions vote too",
    "temperature": "of samples",
    "top_k": "sample from that many words, or null",
    "top_p": "sample from the words of that probability together",
    "seed": "of samples",
    "max_length": "tokens at most",
    "min_length": "tokens at least",
    "allow_unknown": "whether <UNK> may be said, true or false",
    "banned_words": "never said, joined by commas",
    "banned_last_words": "never said last, joined by commas",
    "repeat_trigrams": "whether three words in a row may come twice, true or false",
}
"""The settings of `evaluate.decoding`, each an option of the command line."""
SEARCHES = {
    "beam_width": ("beam", "diverse_beam"),
    "length_normalisation": ("beam", "diverse_beam"),
    "groups": ("diverse_beam",),
    "diversity": ("diverse_beam",),
    "candidates": ("consensus",),
    "pseudo_references": ("consensus",),
    "pseudo_reference_temperature": ("consensus",),
    "neighbours": ("consensus",),
    "temperature": ("sample", "consensus"),
    "top_k": ("sample",),
    "top_p": ("sample",),
    "seed": ("sample", "consensus"),
}
"""The searches that use a setting, where not all do."""


def prepare(models: Path = paths.MODELS) -> Any:
    """Compute as the stages of the checkout around a model do, or as a bundle says; returns the torch.device.

    Where libraries are loaded already they have chosen; ``models`` is as for ``recap.load``.
    """
    if "torch" in sys.modules:
        import torch

        return torch.device("cpu")
    runtime = _runtime(models)
    from recap.core.arithmetic import steer

    steer(os.environ, portable=runtime is None or runtime.arithmetic == "portable")
    if runtime is None:
        import torch

        return torch.device("cpu")
    from recap.runtime.setup import configure

    return configure(runtime)


def _runtime(models: Path) -> Any:
    """Return the group `runtime` of the checkout or the bundle; None where there is neither."""
    from types import SimpleNamespace

    bundle = models / paths.BUNDLE
    if bundle.is_file():
        from recap.core.input_files import read_json
        from recap.errors import expecting

        with expecting(f"{bundle}: expected the description of a bundle"):
            own = read_json(bundle)["runtime"]
            return SimpleNamespace(
                arithmetic=str(own["arithmetic"]), threads=min(max(int(own["threads"]), 1), 256), device="cpu"
            )
    around = models / ".." if (models / "model.json").is_file() else models
    params = Path(os.path.normpath(around / "..")) / paths.PARAMS
    if not params.is_file():
        return None
    from recap.core.config import load
    from recap.runtime.config import RuntimeConfig

    return load(params, RuntimeConfig)


def add_model(command: argparse.ArgumentParser, what: str) -> None:
    """Add the option that says which models are used."""
    text = f"{what}; default: models"
    command.add_argument("--model", type=Path, default=paths.MODELS, metavar="DIR", help=text)


def add_decoding(command: argparse.ArgumentParser) -> None:
    """Add the options of decoding, each to take the place of what the run or the bundle says."""
    group = command.add_argument_group("how captions are written; docs/decoding.md compares the searches")
    for name, text in OPTIONS.items():
        if name in SEARCHES:
            text += f" ({', '.join(SEARCHES[name])})"
        named = f"decoding_{name}"
        group.add_argument(_option(name), dest=named, type=str, metavar="VALUE", help=text)  # may be empty


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def change_decoding(captioner: "Captioner", options: argparse.Namespace) -> "Captioner":
    """Return the captioner with what the command line says in the place of some of its options of decoding.

    Raises:
        InputError: an option is none, its search does not use it, a banned word is not in the vocabulary, or
            nothing here can check it.
    """
    import json
    from contextlib import suppress
    from dataclasses import replace

    changes: dict[str, Any] = {}
    for name in OPTIONS:
        text = getattr(options, f"decoding_{name}")
        if text is None:
            continue
        changes[name] = text
        if name.startswith("banned"):
            changes[name] = [word for word in text.split(",") if word]
        elif name != "search":
            with suppress(ValueError, RecursionError):
                changes[name] = json.loads(text)
    if not changes:
        return captioner
    try:
        from recap.core.config import parse
        from recap.decoding.config import DecodingConfig
    except ModuleNotFoundError as error:
        from recap.errors import InputError

        raise InputError(f"{_option(next(iter(changes)))}: expected {error.name}, which checks it") from None
    decoding = parse("decoding", vars(captioner.decoding) | changes, DecodingConfig)
    from recap.serving.answers import check_words

    for name, value in changes.items():
        _check_use(name, decoding.search)
        if name.startswith("banned"):
            check_words(_option(name), value, captioner.vocabulary)
    return replace(captioner, decoding=decoding)


def _check_use(name: str, search: str) -> None:
    """Refuse an option that the search does not use."""
    from recap.errors import InputError

    if search not in (searches := SEARCHES.get(name, (search,))):
        wanted = " or ".join(searches)
        raise InputError(f"{_option(name)}: expected --search {wanted} beside it, received {search!r}")


def check_output(option: str, path: Path) -> None:
    """Refuse a file in a folder that is not there, which is more often misspelt than wanted."""
    from recap.errors import InputError, expecting

    if path.is_dir():
        raise InputError(f"{option}: {path}: expected a file that can be written, received a folder")
    with expecting(f"{option}: {path}: expected a file that can be written", OSError, ValueError):
        os.stat(f"{path.parent}/")  # noqa: PTH116 (a Path has no slash at its end, which a file refuses)


def warn(path: Path, is_familiar: bool | None) -> None:
    """Tell of an image that is unlike the training images; None where nobody knows."""
    if is_familiar is False:
        from recap.features.familiarity import WARNING

        print(f"warning: {path}: {WARNING}", file=sys.stderr)

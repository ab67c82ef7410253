"""What params.yaml says of imported pictures, and how it is written without touching the rest of it."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from ruamel.yaml import YAML

from recap.backbones.config import FeaturesConfig
from recap.core.artifacts import write_bytes
from recap.core.config import parse
from recap.core.raw_data import SPLITS
from recap.decoders.config import DecoderName
from recap.errors import InputError
from recap.importing.project import Project
from recap.sources.registry import check_url
from recap.text.vocabulary import split_tokens
from recap.workspace.definition import look_up

WEIGHTS = "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"
MANY_CAPTIONS, FEW_CAPTIONS = 20_000, 1_000
RATES = {"rnn": 0.001, "lstm": 0.002, "transformer": 0.001, "attention_lstm": 0.002}
OF_PICTURES = {
    **{f"decoders.{name}.learning_rate": RATES[name] for name in get_args(DecoderName)},
    **{f"decoders.{name}.epochs": 8 for name in get_args(DecoderName)},
}
"""Longer training at lower rates than the defaults, which are made for drawn scenes."""
OF_FEW = {
    "train.batch_size": 32,
    "train.label_smoothing": 0.0,
    **{f"decoders.{name}.epochs": 25 for name in get_args(DecoderName)},
}
"""For fewer captions than the defaults are made for."""
OF_VERY_FEW = {
    "train.batch_size": 8,
    "train.warmup_steps": 10,
    "train.keep": "last",
    **{f"decoders.{name}.epochs": 40 for name in get_args(DecoderName)},
    "decoders.transformer.epochs": 100,  # after 40 it has learnt least; a higher rate makes it worse
}
"""For so few that an epoch is a handful of steps, and the validation images too few to choose one."""
MANAGED = (
    *(*OF_PICTURES, *OF_FEW, *OF_VERY_FEW, "reduce.components", "tokenize.min_count", "tokenize.tokens"),
    *("tokenize.max_length", "evaluate.decoding.max_length"),
)
"""Settings that follow from the pictures and captions."""


def check_backbone(groups: dict[str, Any], weights: str | None, backbone: str | None) -> None:
    """Check what was asked to see the pictures, before anything is written.

    Raises:
        InputError: there is no such backbone, or the weights are neither a URL nor a file.
    """
    if weights and "://" in weights:
        check_url(weights, "--weights")
    elif weights and not Path(weights).is_file():
        raise InputError(f"--weights: expected a file or a URL, received {weights!r}")
    if backbone:
        parse("features", groups["features"] | {"backbone": backbone}, FeaturesConfig)
    if backbone == "small_vgg":
        raise InputError(
            "--backbone: expected one that needs no scenes to train on, such as squeezenet1_1, "
            "received 'small_vgg'"
        )


def choose_settings(
    project: Project,
    groups: dict[str, Any],
    weights: str | None,
    backbone: str | None = None,
    committed: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return settings with which the pipeline learns from a project: their names and values.

    Args:
        project: what was imported.
        groups: the settings so far, by group.
        weights: of the backbone, a path or URL; None keeps those that are set, or takes torchvision's.
        backbone: what sees the pictures; None keeps the one that is set, or takes SqueezeNet.
        committed: the settings of the last commit, if there is one. Where pictures were imported since, those
            that followed from them begin anew with its.
    """
    start = {name: look_up(groups, name) for name in MANAGED}
    if committed and look_up(groups, "data.source") == "folder":
        with suppress(KeyError, TypeError):  # a commit whose settings are of another form
            if look_up(committed, "data.source") != "folder":
                start = {name: look_up(committed, name) for name in MANAGED}
    chosen = start | OF_PICTURES
    chosen |= {"data.source": "folder", "data.folder.images": str(project.images)}
    for split in SPLITS:
        path = project.files.get(split)
        chosen[f"data.folder.{split}_captions"] = None if path is None else str(path)
    if backbone:
        chosen |= {"features.backbone": backbone, "features.weights": None}
    elif look_up(groups, "features.backbone") == "small_vgg":
        chosen["features.backbone"] = "squeezenet1_1"
        weights = weights or WEIGHTS
    if weights:
        chosen["features.weights"] = weights
    training = [picture for picture in project.pictures if picture.split in (None, "train")]
    shares = [look_up(groups, f"data.{split}_share") for split in SPLITS[1:] if split not in project.files]
    images = int(len(training) * (1 - sum(shares)))
    chosen["reduce.components"] = max(min(start["reduce.components"], images // 2), 1)
    captions = [caption for picture in training for caption in picture.captions]
    if len(captions) < MANY_CAPTIONS:
        chosen |= OF_FEW
        chosen["tokenize.min_count"] = 3
    if len(captions) < FEW_CAPTIONS:
        chosen |= OF_VERY_FEW
        chosen["tokenize.min_count"] = 1
    if project.by_characters:
        longest = max(len(split_tokens(caption, "char")) for caption in captions)
        chosen["tokenize.tokens"] = "char"
        chosen["tokenize.max_length"] = min(longest + 2, 1000)
        chosen["evaluate.decoding.max_length"] = max(
            start["evaluate.decoding.max_length"], chosen["tokenize.max_length"]
        )
    return {name: value for name, value in chosen.items() if look_up(groups, name) != value}


def write_settings(params: Path, chosen: dict[str, Any]) -> None:
    """Change settings in a params file; its comments and all other settings stay as they are."""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 1 << 16
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    values = yaml.load(params.read_bytes())
    for name, value in chosen.items():
        *groups, last = name.split(".")
        place = values
        for group in groups:
            place = place[group]
        place[last] = value
    text = io.BytesIO()
    yaml.dump(values, text)
    write_bytes(params, text.getvalue())

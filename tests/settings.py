"""The settings of params.yaml, changed as a test needs them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import TypeAdapter
from tests.imports import ROOT

from recap.core.config import load
from recap.decoders.config import DecoderConfig, DecodersConfig
from recap.decoding.config import DecodingConfig
from recap.training.config import TrainConfig

Group = TypeVar("Group")
GREEDY = DecodingConfig(
    search="greedy",
    beam_width=5,
    length_normalisation=0.0,
    groups=1,
    diversity=0.0,
    candidates=40,
    pseudo_references=40,
    pseudo_reference_temperature=1.0,
    neighbours=0,
    temperature=1.0,
    top_k=None,
    top_p=1.0,
    max_length=30,
    min_length=0,
    allow_unknown=False,
    banned_words=(),
    banned_last_words=(),
    repeat_trigrams=True,
    seed=0,
)
"""The likeliest word, without constraints."""


def settings(group: type[Group], **changes: Any) -> Group:
    """A group of the repository's params.yaml with other values."""
    return replace(load(ROOT / "params.yaml", group), **changes)  # type: ignore[type-var]


def training_settings(params: Mapping[str, Any], name: str) -> tuple[TrainConfig, DecoderConfig]:
    """What the stage `train` of a decoder reads from the groups `train` and `decoders`."""
    decoders = TypeAdapter(DecodersConfig).validate_json(json.dumps(params["decoders"]))
    return TypeAdapter(TrainConfig).validate_json(json.dumps(params["train"])), decoders.of(name)

"""The settings of params.yaml, changed as a test needs them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import TypeAdapter
from tests.imports import ROOT

from recap.core.config import load
from recap.decoders.config import DecoderConfig, DecodersConfig
from recap.training.config import TrainConfig

Group = TypeVar("Group")


def settings(group: type[Group], **changes: Any) -> Group:
    """A group of the repository's params.yaml with other values."""
    return replace(load(ROOT / "params.yaml", group), **changes)  # type: ignore[type-var]


def training_settings(params: Mapping[str, Any], name: str) -> tuple[TrainConfig, DecoderConfig]:
    """What the stage `train` of a decoder reads from the groups `train` and `decoders`."""
    decoders = TypeAdapter(DecodersConfig).validate_json(json.dumps(params["decoders"]))
    return TypeAdapter(TrainConfig).validate_json(json.dumps(params["train"])), decoders.of(name)

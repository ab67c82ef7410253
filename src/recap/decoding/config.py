"""Settings of decoding: of every search and constraint."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Seed

Temperature = Annotated[float, Ge(1e-3), Le(1e6)]


@dataclass(config=STRICT, frozen=True)
class DecodingConfig:
    """Group `evaluate.decoding` of params.yaml."""

    search: Literal["greedy", "sample", "beam", "diverse_beam", "consensus"]
    beam_width: Annotated[int, Ge(1), Le(1000)]
    length_normalisation: Annotated[float, Ge(0), Le(10)]
    groups: Annotated[int, Ge(1), Le(1000)]
    diversity: Annotated[float, Ge(0), Le(1e6)]
    candidates: Annotated[int, Ge(2), Le(10_000)]
    pseudo_references: Annotated[int, Ge(1), Le(10_000)]
    pseudo_reference_temperature: Temperature
    neighbours: Annotated[int, Ge(0), Le(1000)]
    temperature: Temperature
    top_k: Annotated[int, Ge(1), Le(2**31 - 1)] | None
    top_p: Annotated[float, Gt(0), Le(1)]
    max_length: Annotated[int, Ge(1), Le(1000)]
    min_length: Annotated[int, Ge(0), Le(1000)]
    allow_unknown: bool
    banned_words: tuple[str, ...]
    banned_last_words: tuple[str, ...]
    repeat_trigrams: bool
    seed: Seed

    @field_validator("groups")
    @classmethod
    def _groups_share_the_beam(cls, groups: int, info: ValidationInfo) -> int:
        width = info.data.get("beam_width")
        if info.data.get("search") == "diverse_beam" and width is not None and width % groups:
            raise ValueError(f"a divisor of beam_width, {width}")
        return groups

    @field_validator("min_length")
    @classmethod
    def _shortest_below_longest(cls, min_length: int, info: ValidationInfo) -> int:
        longest = info.data.get("max_length")
        if longest is not None and min_length > longest:
            raise ValueError(f"at most max_length, {longest}")
        return min_length

"""Settings of the stage `tokenize`."""

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.config import STRICT


@dataclass(config=STRICT, frozen=True)
class TokenizeConfig:
    """Group `tokenize` of params.yaml; a source that comes encoded keeps its own vocabulary."""

    tokens: Literal["word", "char"]
    min_count: Annotated[int, Ge(1)]
    max_words: Annotated[int, Ge(5)] | None
    max_length: Annotated[int, Ge(3), Le(1000)]

"""Settings of the stage `tokenize`."""

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Count


@dataclass(config=STRICT, frozen=True)
class TokenizeConfig:
    """Group `tokenize` of params.yaml; a source that comes encoded keeps its own vocabulary."""

    tokens: Literal["word", "char"]
    min_count: Count
    max_words: Annotated[int, Ge(5), Le(2**31 - 1)] | None
    max_length: Annotated[int, Ge(3), Le(1000)]

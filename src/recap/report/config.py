"""Settings of the stage `report`."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from recap.core.config import STRICT, Seed


@dataclass(config=STRICT, frozen=True)
class ReportConfig:
    """Group `report` of params.yaml."""

    gallery_images: Annotated[int, Ge(1), Le(5000)]
    seed: Seed

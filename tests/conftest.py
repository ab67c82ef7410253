"""Fixtures of the whole suite."""

from pathlib import Path

import pytest
from hypothesis import settings

# machines under load are slow; a time limit of its own would make tests fail by chance
settings.register_profile("recap", deadline=None)
settings.load_profile("recap")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real COCO data beside the checkout; the test skips, visibly, without it."""
    if not (SHARED / "real").is_dir():
        pytest.skip("needs ../shared (real COCO data), which is absent")
    return SHARED

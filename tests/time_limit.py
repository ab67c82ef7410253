"""A time for slow tests: `pytest --minutes 40` skips, visibly, what has not begun by then.

Each commit has an order of its own, so that no file is left out again and again where the machine is slow.
"""

import hashlib
import subprocess
import time

import pytest

BEGIN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--minutes", type=float, help="skip what has not begun after so many, in a random order")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the files by the commit; the tests of a file stay as they are, as they share what they set up."""
    if config.getoption("minutes") is None:
        return
    command = ["git", "-C", str(config.rootpath), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    places = {
        item.path: hashlib.sha256(f"{commit}{item.path.relative_to(config.rootpath)}".encode()).digest()
        for item in items
    }
    items.sort(key=lambda item: places[item.path])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that comes too late."""
    minutes = item.config.getoption("minutes")
    if minutes is not None and time.monotonic() - BEGIN > 60 * minutes:
        pytest.skip(f"not begun within {minutes:g} minutes")

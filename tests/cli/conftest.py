"""What the sources are tested with."""

from tests.sources.conftest import reply as reply
from tests.sources.conftest import server as server

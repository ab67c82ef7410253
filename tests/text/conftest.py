"""What the sources are tested with."""

from tests.sources.conftest import make_archive as make_archive
from tests.sources.conftest import members as members

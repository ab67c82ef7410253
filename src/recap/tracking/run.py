"""A stage's run in MLflow: params, metrics, artifacts, tables. Files are the truth; this mirrors them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class Run:
    """Logs nothing; the run of a stage whose tracking is off."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers, at a step of a curve or once."""

    def log_artifact(self, path: Path) -> None:
        """Keep a copy of a file or a folder."""

    def log_table(self, columns: Mapping[str, Sequence[object]], name: str) -> None:
        """Keep a table that the UI compares side by side; ``name`` ends in .json."""


@contextmanager
def open_run(stage: str, groups: Sequence[object], *, enabled: bool) -> Iterator[Run]:
    """Open the run of a stage."""
    yield Run()

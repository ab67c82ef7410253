"""Stage `record`: bring the stages that ran, and those that DVC skipped, to MLflow; it never fails."""

import os

from recap.tracking.importer import record
from recap.tracking.stage import execute


def main() -> None:
    record(os.environ)


if __name__ == "__main__":
    execute(main)

"""Stage `fetch`: images and captions, or features and captions, verified."""

from pathlib import Path

from recap.core.artifacts import write_json
from recap.core.config import load
from recap.sources.config import DataConfig
from recap.sources.download import Files
from recap.sources.fetch import fetch
from recap.tracking.stage import execute, start


def main() -> None:
    config = load(Path("params.yaml"), DataConfig)
    files = Files(Path(".recap/downloads"), Path("downloads.json"), config.offline)
    with start("fetch", config) as run:
        summary = fetch(config, Path("data/raw"), files)
        write_json(Path("reports/fetch/metrics.json"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

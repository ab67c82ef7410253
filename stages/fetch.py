"""Stage `fetch`: images and captions, or features and captions, verified."""

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load
from recap.sources.config import DataConfig
from recap.sources.download import Files
from recap.sources.fetch import fetch
from recap.tracking.stage import execute, start


def main() -> None:
    config = load(paths.PARAMS, DataConfig)
    files = Files(paths.DOWNLOADS, paths.REGISTRY, config.offline)
    with start("fetch", config) as run:
        summary = fetch(config, paths.RAW, files)
        write_json(paths.metrics_of("fetch"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

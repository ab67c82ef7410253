"""Stage `extract`: one feature vector an image."""

from pathlib import Path

from recap.artifacts import write_json
from recap.config import load
from recap.runtime import RuntimeConfig, configure
from recap.tracking.stage import execute, start
from recap.vision.extraction import extract
from recap.vision.features_config import FeaturesConfig


def main() -> None:
    runtime = load(Path("params.yaml"), RuntimeConfig)
    config = load(Path("params.yaml"), FeaturesConfig)
    with start("extract", runtime, config) as run:
        device = configure(runtime)
        summary = extract(Path("data/raw"), Path("models/backbone"), Path("data/features"), config, device)
        write_json(Path("reports/extract/metrics.json"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

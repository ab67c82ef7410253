"""Stage `extract`: one feature vector an image. `torchrun stages/extract.py` shares it between processes."""

import os
from pathlib import Path

from recap.artifacts import write_json
from recap.config import load
from recap.runtime import RuntimeConfig, configure
from recap.tracking.stage import execute, start
from recap.vision.extraction import Folders, extract
from recap.vision.features_config import FeaturesConfig
from recap.vision.workers import join_workers

FOLDERS = Folders(Path("data/raw"), Path("models/backbone"), Path("data/features"), Path(".recap/extract"))


def main() -> None:
    runtime = load(Path("params.yaml"), RuntimeConfig)
    config = load(Path("params.yaml"), FeaturesConfig)
    device = configure(runtime)
    with join_workers(os.environ) as worker:
        if worker.rank:
            extract(FOLDERS, config, device, worker)
            return
        with start("extract", runtime, config) as run:
            summary = extract(FOLDERS, config, device, worker)
            write_json(Path("reports/extract/metrics.json"), summary)
            run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

"""Stage `extract`: one feature vector an image."""

import os
import sys
from pathlib import Path

from recap.artifacts import write_json
from recap.config import load
from recap.distribution.config import DistributedConfig
from recap.distribution.launch import launch
from recap.distribution.workers import join_workers
from recap.runtime import configure
from recap.runtime_config import RuntimeConfig
from recap.tracking.stage import execute, start
from recap.vision.extraction import Folders, extract
from recap.vision.features_config import FeaturesConfig

FOLDERS = Folders(Path("data/raw"), Path("models/backbone"), Path("data/features"), Path(".recap/extract"))


def main() -> None:
    runtime = load(Path("params.yaml"), RuntimeConfig)
    config = load(Path("params.yaml"), FeaturesConfig)
    distributed = load(Path("params.yaml"), DistributedConfig)
    if launch(distributed, sys.orig_argv[1:], os.environ):
        return
    device = configure(runtime)
    with (
        join_workers(distributed.processes, device, os.environ) as worker,
        start("extract", runtime, distributed, config) as run,
    ):
        summary = extract(FOLDERS, config, device, worker)
        if worker.rank == 0:
            write_json(Path("reports/extract/metrics.json"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

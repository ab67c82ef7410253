"""Stage `extract`: one feature vector an image."""

import os
import sys
from dataclasses import replace

from recap.backbones.config import FeaturesConfig
from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load
from recap.features.extraction import Folders, extract
from recap.runtime.config import DistributedConfig, RuntimeConfig
from recap.runtime.launch import launch
from recap.runtime.setup import configure
from recap.runtime.workers import join_workers
from recap.tracking.stage import execute, start

FOLDERS = Folders(paths.RAW, paths.BACKBONE, paths.FEATURES, paths.SHARDS)


def main() -> None:
    runtime = load(paths.PARAMS, RuntimeConfig)
    config = load(paths.PARAMS, FeaturesConfig)
    distributed = load(paths.PARAMS, DistributedConfig)
    if launch(distributed, sys.orig_argv[1:], os.environ):
        return
    device = configure(replace(runtime, threads=config.threads))
    with (
        join_workers(distributed.processes, device, os.environ) as worker,
        start("extract", runtime, distributed, config) as run,
    ):
        summary = extract(FOLDERS, config, device, worker)
        if worker.rank == 0:
            write_json(paths.metrics_of("extract"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

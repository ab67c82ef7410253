"""Stage `train`: fit a decoder to the captions; `train.py lstm`."""

import os
import sys

from recap.core import paths
from recap.core.config import load
from recap.decoders.config import DecodersConfig
from recap.runtime.config import DistributedConfig, RuntimeConfig
from recap.runtime.launch import launch
from recap.runtime.setup import configure
from recap.runtime.workers import join_workers
from recap.tracking.stage import execute, start
from recap.training.config import TrainConfig
from recap.training.train import train


def main() -> None:
    name = sys.argv[1]
    config, decoder = load(paths.PARAMS, TrainConfig), load(paths.PARAMS, DecodersConfig).of(name)
    runtime, distributed = load(paths.PARAMS, RuntimeConfig), load(paths.PARAMS, DistributedConfig)
    if launch(distributed, sys.orig_argv[1:], os.environ):
        return
    device = configure(runtime)
    folders = paths.RAW, paths.CAPTIONS, paths.REDUCED, paths.MODELS / name
    with (
        join_workers(distributed.processes, device, os.environ) as worker,
        start(f"train/{name}", runtime, distributed, config, {f"decoders.{name}": decoder}) as run,
    ):
        checkpoints = paths.CHECKPOINTS
        summary = train(name, *folders, config, decoder, device, run.log_metrics, checkpoints, worker)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

"""Stage `train`: fit a decoder to the captions; `train.py lstm`."""

import sys
from pathlib import Path

from recap.config import load
from recap.runtime import RuntimeConfig, configure
from recap.tracking.stage import execute, start
from recap.training.config import TrainConfig
from recap.training.train import train

PARAMS = Path("params.yaml")


def main() -> None:
    name = sys.argv[1]
    config = load(PARAMS, TrainConfig)
    runtime = load(PARAMS, RuntimeConfig)
    device = configure(runtime)
    output = Path("models") / name
    with start(f"train/{name}", runtime, config) as run:
        summary = train(
            name,
            Path("data/captions"),
            Path("data/reduced"),
            output,
            config,
            device,
            run.log_metrics,
            Path(".recap/checkpoints"),
        )
        run.log_metrics(summary)
        run.log_artifact(output)


if __name__ == "__main__":
    execute(main)

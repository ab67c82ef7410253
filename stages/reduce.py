"""Stage `reduce`: PCA, and concepts, fitted on training images only, or pass-through."""

from pathlib import Path

from recap.core.artifacts import write_json
from recap.core.config import load
from recap.features.config import ReduceConfig
from recap.features.reduce import reduce
from recap.runtime.config import RuntimeConfig
from recap.tracking.stage import execute, start


def main() -> None:
    runtime = load(Path("params.yaml"), RuntimeConfig)
    config = load(Path("params.yaml"), ReduceConfig)
    with start("reduce", runtime, config) as run:
        summary = reduce(
            Path("data/features"), Path("data/captions"), Path("data/reduced"), config, runtime.threads
        )
        write_json(Path("reports/reduce/metrics.json"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

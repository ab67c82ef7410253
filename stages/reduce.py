"""Stage `reduce`: PCA, and concepts, fitted on training images only, or pass-through."""

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load
from recap.features.config import ReduceConfig
from recap.features.reduce import reduce
from recap.runtime.config import RuntimeConfig
from recap.tracking.stage import execute, start


def main() -> None:
    runtime = load(paths.PARAMS, RuntimeConfig)
    config = load(paths.PARAMS, ReduceConfig)
    with start("reduce", runtime, config) as run:
        summary = reduce(paths.FEATURES, paths.CAPTIONS, paths.REDUCED, config, runtime.threads)
        write_json(paths.metrics_of("reduce"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

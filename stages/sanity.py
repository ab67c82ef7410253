"""Stage `sanity`: gradients beside numerical ones, and every decoder learning a few captions by heart."""

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.sanity.config import SanityConfig
from recap.sanity.sanity import check_sanity
from recap.tracking.stage import execute, start


def main() -> None:
    runtime = load(paths.PARAMS, RuntimeConfig)
    config = load(paths.PARAMS, SanityConfig)
    output = paths.SANITY
    with start("sanity", runtime, config) as run:
        configure(runtime)
        features = paths.REDUCED / "train.h5"
        summary = check_sanity(paths.CAPTIONS, features, output, config)
        write_json(output / "metrics.json", summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

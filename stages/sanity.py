"""Stage `sanity`: gradients beside numerical ones, and every decoder learning a few captions by heart."""

from pathlib import Path

from recap.core.artifacts import write_json
from recap.core.config import load
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.sanity.config import SanityConfig
from recap.sanity.sanity import check_sanity
from recap.tracking.stage import execute, start


def main() -> None:
    runtime = load(Path("params.yaml"), RuntimeConfig)
    config = load(Path("params.yaml"), SanityConfig)
    output = Path("reports/sanity")
    with start("sanity", runtime, config) as run:
        configure(runtime)
        features = Path("data/reduced/train.h5")
        summary = check_sanity(Path("data/captions"), features, output, config, runtime.threads)
        write_json(output / "metrics.json", summary)
        run.log_metrics(summary)
        run.log_artifact(output)


if __name__ == "__main__":
    execute(main)

"""Stage `sanity`: gradients beside numerical ones, and every decoder learning a few captions by heart."""

from pathlib import Path

from recap.artifacts import write_json
from recap.config import load
from recap.reference.sanity import check_sanity
from recap.reference.sanity_config import SanityConfig
from recap.runtime import configure
from recap.runtime_config import RuntimeConfig
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

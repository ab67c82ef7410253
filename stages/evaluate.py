"""Stage `evaluate`: captions of every test image by a decoder, and their scores; `evaluate.py lstm`."""

import sys

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load
from recap.evaluation.config import EvaluateConfig
from recap.evaluation.evaluate_decoder import evaluate_decoder
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.tracking.stage import execute, start


def main() -> None:
    name = sys.argv[1]
    runtime = load(paths.PARAMS, RuntimeConfig)
    config = load(paths.PARAMS, EvaluateConfig)
    output = paths.DECODERS / name
    with start(f"evaluate/{name}", runtime, config) as run:
        device = configure(runtime)
        evaluation = evaluate_decoder(
            paths.MODELS / name, paths.RAW, paths.CAPTIONS, paths.REDUCED, config, device
        )
        write_json(output / "captions.json", evaluation.results)
        write_json(output / "per_image.json", evaluation.per_image)
        write_json(output / "metrics.json", evaluation.metrics)
        run.log_metrics(evaluation.metrics)


if __name__ == "__main__":
    execute(main)

"""Stage `evaluate`: captions of every validation image by a decoder, and their scores; `evaluate.py lstm`."""

import sys
from pathlib import Path

from recap.core.artifacts import write_json
from recap.core.config import load
from recap.evaluation.config import EvaluateConfig
from recap.evaluation.evaluate_decoder import evaluate_decoder
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.tracking.stage import execute, start

PARAMS = Path("params.yaml")
RAW, CAPTIONS, REDUCED = Path("data/raw"), Path("data/captions"), Path("data/reduced")


def main() -> None:
    name = sys.argv[1]
    runtime = load(PARAMS, RuntimeConfig)
    config = load(PARAMS, EvaluateConfig)
    output = Path("reports/decoders") / name
    with start(f"evaluate/{name}", runtime, config) as run:
        device = configure(runtime)
        evaluation = evaluate_decoder(Path("models") / name, RAW, CAPTIONS, REDUCED, config, device)
        write_json(output / "captions.json", evaluation.results)
        write_json(output / "per_image.json", evaluation.per_image)
        write_json(output / "metrics.json", evaluation.metrics)
        run.log_metrics(evaluation.metrics)
        columns = ("image_id", "caption", "part", "cider_d")  # the UI compares the second
        run.log_table({key: [row[key] for row in evaluation.per_image] for key in columns}, "captions.json")


if __name__ == "__main__":
    execute(main)

"""Stage `tokenize`: captions as text to captions as numbers, with their vocabulary and references."""

from pathlib import Path

from recap.core.artifacts import write_json
from recap.core.config import load
from recap.text.config import TokenizeConfig
from recap.text.encode import tokenize
from recap.tracking.stage import execute, start


def main() -> None:
    config = load(Path("params.yaml"), TokenizeConfig)
    with start("tokenize", config) as run:
        summary = tokenize(Path("data/raw"), Path("data/captions"), config)
        write_json(Path("reports/tokenize/metrics.json"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

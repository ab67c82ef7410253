"""Stage `tokenize`: captions as text to captions as numbers, with their vocabulary and references."""

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load
from recap.text.config import TokenizeConfig
from recap.text.encode import tokenize
from recap.tracking.stage import execute, start


def main() -> None:
    config = load(paths.PARAMS, TokenizeConfig)
    with start("tokenize", config) as run:
        summary = tokenize(paths.RAW, paths.CAPTIONS, config)
        write_json(paths.metrics_of("tokenize"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

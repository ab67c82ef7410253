"""Stage `visualize`: what the networks see."""

from pathlib import Path

from recap.core.artifacts import write_json
from recap.core.config import load
from recap.decoders.config import DecodersConfig
from recap.explain.config import VisualizeConfig
from recap.explain.pictures.visualize import visualize
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.tracking.stage import execute, start
from recap.workspace.leftovers import remove_leftovers


def main() -> None:
    runtime = load(Path("params.yaml"), RuntimeConfig)
    config = load(Path("params.yaml"), VisualizeConfig)
    decoders = load(Path("params.yaml"), DecodersConfig).names
    with start("visualize", runtime, config) as run:
        for name in remove_leftovers(Path("models"), Path("reports/decoders"), decoders):
            print(f"removed what the decoder {name} left behind: decoders.names does not name it")
        device = configure(runtime)
        summary = visualize(
            Path("data"),
            Path("models"),
            Path("reports/decoders"),
            Path("reports/vision"),
            decoders,
            config,
            device,
        )
        write_json(Path("reports/visualize/metrics.json"), summary)
        run.log_metrics(summary)
        run.log_artifact(Path("reports/vision"))


if __name__ == "__main__":
    execute(main)

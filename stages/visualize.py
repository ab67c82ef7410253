"""Stage `visualize`: what the networks see."""

from recap.core import paths
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
    runtime = load(paths.PARAMS, RuntimeConfig)
    config = load(paths.PARAMS, VisualizeConfig)
    decoders = load(paths.PARAMS, DecodersConfig).names
    with start("visualize", runtime, config) as run:
        for name in remove_leftovers(paths.MODELS, paths.DECODERS, decoders):
            print(f"removed what the decoder {name} left behind: decoders.names does not name it")
        device = configure(runtime)
        summary = visualize(paths.DATA, paths.MODELS, paths.DECODERS, paths.VISION, decoders, config, device)
        write_json(paths.metrics_of("visualize"), summary)
        run.log_metrics(summary)


if __name__ == "__main__":
    execute(main)

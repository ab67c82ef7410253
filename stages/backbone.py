"""Stage `backbone`: a CNN, trained here on scenes or fetched and verified."""

from dataclasses import replace

from recap.backbones.config import BackboneConfig, FeaturesConfig
from recap.backbones.prepare import prepare_backbone
from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.sources.config import DataConfig
from recap.sources.download import Files
from recap.tracking.stage import execute, start


def main() -> None:
    runtime = load(paths.PARAMS, RuntimeConfig)
    config, features = load(paths.PARAMS, BackboneConfig), load(paths.PARAMS, FeaturesConfig)
    files = Files(paths.DOWNLOADS, paths.REGISTRY, load(paths.PARAMS, DataConfig).offline)
    with start("backbone", runtime, config, features) as run:
        device = configure(replace(runtime, threads=features.threads))
        metrics = prepare_backbone(
            paths.RAW, paths.BACKBONE, config, features, device, run.log_metrics, files, paths.CHECKPOINTS
        )
        write_json(paths.metrics_of("backbone"), metrics)
        run.log_metrics(metrics)


if __name__ == "__main__":
    execute(main)

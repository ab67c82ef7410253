"""Stage `backbone`: a CNN, trained here on scenes or fetched and verified."""

from pathlib import Path

from recap.backbones.config import BackboneConfig, FeaturesConfig
from recap.backbones.prepare import prepare_backbone
from recap.core.artifacts import write_json
from recap.core.config import load
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure
from recap.sources.config import DataConfig
from recap.sources.download import Files
from recap.tracking.stage import execute, start


def main() -> None:
    params = Path("params.yaml")
    runtime = load(params, RuntimeConfig)
    config, features = load(params, BackboneConfig), load(params, FeaturesConfig)
    files = Files(Path(".recap/downloads"), Path("downloads.json"), load(params, DataConfig).offline)
    with start("backbone", runtime, config, features) as run:
        device = configure(runtime)
        metrics = prepare_backbone(
            Path("data/raw"),
            Path("models/backbone"),
            config,
            features,
            device,
            run.log_metrics,
            files,
            Path(".recap/checkpoints"),
        )
        write_json(Path("reports/backbone/metrics.json"), metrics)
        run.log_metrics(metrics)


if __name__ == "__main__":
    execute(main)

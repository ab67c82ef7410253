"""Stage `backbone`: a CNN, trained here on scenes or fetched and verified."""

from pathlib import Path

from recap.artifacts import write_json
from recap.config import load
from recap.data.config import DataConfig
from recap.data.download import Files
from recap.runtime import configure
from recap.runtime_config import RuntimeConfig
from recap.tracking.stage import execute, start
from recap.vision.backbone_config import BackboneConfig
from recap.vision.features_config import FeaturesConfig
from recap.vision.prepare_backbone import prepare_backbone


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

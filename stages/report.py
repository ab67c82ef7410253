"""Stage `report`: one page that shows all of it, and the tables behind `dvc plots`."""

import dataclasses
from pathlib import Path

from recap.core.config import load_all
from recap.report.inputs import Folders
from recap.report.report import report
from recap.sources.images_on_demand import make_fetch
from recap.tracking.stage import execute, start
from recap.workspace.leftovers import remove_leftovers

FOLDERS = Folders(
    raw=Path("data/raw"),
    captions=Path("data/captions"),
    reduced=Path("data/reduced"),
    models=Path("models"),
    backbone_report=Path("reports/backbone"),
    decoders=Path("reports/decoders"),
    vision=Path("reports/vision"),
    visualize_report=Path("reports/visualize"),
    sanity=Path("reports/sanity"),
)
IMAGES = Path(".recap/images")
PAGE, PLOTS = Path("reports/index.html"), Path("reports/plots")


def main() -> None:
    groups = load_all(Path("params.yaml"))
    decoders = groups["decoders"].names
    params = {name: dataclasses.asdict(group) for name, group in groups.items()}
    fetch = make_fetch(groups["data"], IMAGES)
    with start("report", groups["report"]) as run:
        for name in remove_leftovers(FOLDERS.models, FOLDERS.decoders, decoders):
            print(f"removed what the decoder {name} left behind: decoders.names does not name it")
        report(FOLDERS, PAGE, PLOTS, decoders, groups["report"], params, fetch)
        run.log_artifact(PAGE)


if __name__ == "__main__":
    execute(main)

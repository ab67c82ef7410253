"""Stage `report`: one page that shows all of it, and the tables behind `dvc plots`."""

import dataclasses
from pathlib import Path

from recap.core import paths
from recap.core.config import load_all
from recap.report.report import report
from recap.sources.images_on_demand import make_fetch
from recap.tracking.stage import execute, start
from recap.workspace.leftovers import remove_leftovers


def main() -> None:
    groups = load_all(paths.PARAMS)
    decoders = groups["decoders"].names
    params = {name: dataclasses.asdict(group) for name, group in groups.items()}
    fetch = make_fetch(groups["data"], paths.IMAGES)
    with start("report", groups["report"]):
        for name in remove_leftovers(paths.MODELS, paths.DECODERS, decoders):
            print(f"removed what the decoder {name} left behind: decoders.names does not name it")
        report(Path(), decoders, groups["report"], params, fetch)


if __name__ == "__main__":
    execute(main)

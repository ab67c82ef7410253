"""The work of the stage `report`: the page and the tables behind `dvc plots`."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recap.artifacts import write_text
from recap.reporting.config import ReportConfig
from recap.reporting.inputs import Folders, load_inputs
from recap.reporting.page import Fetch, fetch_nothing, render_page
from recap.reporting.plots import write_plots


def report(
    folders: Folders,
    page: Path,
    plots: Path,
    decoders: Sequence[str],
    config: ReportConfig,
    params: dict[str, Any],
    fetch: Fetch = fetch_nothing,
) -> None:
    """Write the page and the tables.

    Args:
        folders: the outputs of the stages before.
        page: the HTML file to write.
        plots: the folder that receives the tables.
        decoders: which decoders to show, in this order.
        config: the group `report`.
        params: all settings, to be listed.
        fetch: brings the images of URLs, or says why not.

    Raises:
        InputError: an output of another stage is absent or does not fit.
    """
    inputs = load_inputs(folders, decoders, params)
    write_text(page, render_page(inputs, config, fetch))
    write_plots(plots, inputs.decoders)


def remove_leftovers(models: Path, reports: Path, decoders: Sequence[str]) -> list[str]:
    """Remove what decoders that are no longer trained left behind.

    Their folders belong to no stage any more, but would change the hash of the folders around them.

    Args:
        models: holds a folder a model; those with a model.json are decoders.
        reports: holds a folder a decoder.
        decoders: the ones to keep.

    Returns:
        The names of the decoders removed, sorted.
    """
    descriptions = models.glob("*/model.json")
    present = {path.parent.name for path in descriptions} | {path.name for path in reports.glob("*/")}
    leftovers = sorted(present - set(decoders))
    for name in leftovers:
        for folder in (models / name, reports / name):
            if folder.is_dir():
                shutil.rmtree(folder)
    return leftovers

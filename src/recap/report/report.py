"""The work of the stage `report`: the page and the tables behind `dvc plots`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recap.core.artifacts import write_text
from recap.report.config import ReportConfig
from recap.report.inputs import load_inputs
from recap.report.page import Fetch, fetch_nothing, render_page
from recap.report.plots import write_plots


def report(
    root: Path,
    page: Path,
    plots: Path,
    decoders: Sequence[str],
    config: ReportConfig,
    params: dict[str, Any],
    fetch: Fetch = fetch_nothing,
) -> None:
    """Write the page and the tables.

    Args:
        root: holds the outputs of the stages before, as a checkout does.
        page: the HTML file to write.
        plots: the folder that receives the tables.
        decoders: which decoders to show, in this order.
        config: the group `report`.
        params: all settings, to be listed.
        fetch: brings the images of URLs, or says why not.

    Raises:
        InputError: an output of another stage is absent or does not fit.
    """
    inputs = load_inputs(root, decoders, params)
    write_text(page, render_page(inputs, config, fetch))
    write_plots(plots, inputs.decoders)

"""The work of the stage `report`: the page and the tables behind `dvc plots`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recap.core import paths
from recap.core.artifacts import write_csv, write_text
from recap.report.config import ReportConfig
from recap.report.inputs import Decoder, load_inputs
from recap.report.labels import in_order
from recap.report.page import Fetch, render_page

LOSSES = (("training", "training_loss"), ("validation", "validation_loss"))


def report(
    root: Path, decoders: Sequence[str], config: ReportConfig, params: dict[str, Any], fetch: Fetch
) -> None:
    """Write the page and the tables.

    Args:
        root: holds the outputs of the stages before, as a checkout does, and receives those of this one.
        decoders: which decoders to show, in this order.
        config: the group `report`.
        params: all settings, to be listed.
        fetch: brings the images of URLs, or says why not.

    Raises:
        InputError: an output of another stage is absent or does not fit.
    """
    inputs = load_inputs(root, decoders, params, config)
    write_text(root / paths.PAGE, render_page(inputs, fetch))
    _write_plots(root / paths.PLOTS, inputs.decoders)


def _write_plots(directory: Path, decoders: Sequence[Decoder]) -> None:
    """Write losses.csv (decoder, split, epoch, loss) and scores.csv (decoder, part, a column a metric)."""
    losses = [
        (decoder.name, split, int(epoch), loss)
        for decoder in decoders
        for split, column in LOSSES
        for epoch, loss in zip(decoder.history["epoch"], decoder.history[column], strict=True)
    ]
    write_csv(directory / "losses.csv", ("decoder", "split", "epoch", "loss"), losses)
    rows = [
        (decoder, part, {**_numbers(decoder.metrics), **_numbers(decoder.metrics[part])})
        for decoder in decoders
        for part in decoder.parts
    ]
    columns = in_order({key for _, _, numbers in rows for key in numbers})
    table = [(decoder.name, part, *(numbers.get(key) for key in columns)) for decoder, part, numbers in rows]
    write_csv(directory / "scores.csv", ("decoder", "part", *columns), table)


def _numbers(metrics: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in metrics.items() if isinstance(value, int | float)}

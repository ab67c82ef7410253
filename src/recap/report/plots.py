"""The tables behind `dvc plots`: losses and scores of all decoders in one file each."""

from collections.abc import Sequence
from pathlib import Path

from recap.core.artifacts import write_csv
from recap.report.inputs import Decoder
from recap.report.labels import METRICS

LOSSES = (("training", "training_loss"), ("validation", "validation_loss"))


def write_plots(directory: Path, decoders: Sequence[Decoder]) -> None:
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
    present = {key for _, _, numbers in rows for key in numbers}
    columns = [key for key in METRICS if key in present]
    columns += sorted(present - set(columns))
    table = [(decoder.name, part, *(numbers.get(key) for key in columns)) for decoder, part, numbers in rows]
    write_csv(directory / "scores.csv", ("decoder", "part", *columns), table)


def _numbers(metrics: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in metrics.items() if isinstance(value, int | float)}

"""Removes the outputs of decoders that are no longer trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from recap.decoders.config import DecoderName

MODEL_FILES = (
    *("weights.safetensors", "model.json", "summary.json"),
    *("history.csv", "history_steps.csv", "history_language.csv", "history_self_critical.csv"),
)
REPORT_FILES = ("captions.json", "per_image.json", "metrics.json")


def remove_leftovers(models: Path, reports: Path, decoders: Sequence[str]) -> list[str]:
    """Remove the outputs of the pipeline's decoders that ``decoders`` does not name.

    They belong to no stage any more, but would change the hash of the folders around them. Everything else
    in these folders is the user's and stays: copies of models under other names, files of other names.

    Returns:
        The names of the decoders of which something was removed, sorted.
    """
    removed = set()
    for name in sorted(set(get_args(DecoderName)) - set(decoders)):
        for folder, files in ((models / name, MODEL_FILES), (reports / name, REPORT_FILES)):
            for path in (folder / file for file in files):
                if path.is_file():
                    path.unlink()
                    removed.add(name)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    return sorted(removed)

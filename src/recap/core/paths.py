"""The paths of all files and folders, relative to the root of a checkout."""

from pathlib import Path

PARAMS, PIPELINE, LOCK = Path("params.yaml"), Path("dvc.yaml"), Path("dvc.lock")
REQUIREMENTS = Path("requirements.lock")
REGISTRY = Path("downloads.json")
"""What is known of URLs: sizes and SHA-256."""
INPUTS = Path("inputs")
"""Digests of the user's own files, a JSON file for each source and backbone."""

DATA = Path("data")
RAW, CAPTIONS, FEATURES, REDUCED = DATA / "raw", DATA / "captions", DATA / "features", DATA / "reduced"

MODELS = Path("models")
BACKBONE = MODELS / "backbone"
ENCODER_CODE = "encoder.py"
"""The file of the user's own encoder, as it is kept beside the weights of the backbone."""
BUNDLE, BUNDLE_FORMAT = "captioner.json", 1
"""What makes a folder a bundle: its decoders, options, data and scores, and the SHA-256 of its files."""

REPORTS = Path("reports")
DECODERS, VISION, SANITY = REPORTS / "decoders", REPORTS / "vision", REPORTS / "sanity"
PAGE, PLOTS = REPORTS / "index.html", REPORTS / "plots"
MACHINE = REPORTS / "machine.json"
"""The machine and the versions behind the lock."""

STATE = Path(".recap")
"""What a machine keeps for itself; git and DVC do not see it."""
CHECKPOINTS, DOWNLOADS, IMAGES = STATE / "checkpoints", STATE / "downloads", STATE / "images"
SHARDS = STATE / "extract"
DIGESTS = STATE / "digests.json"
LOCKS, RECEIPTS = STATE / "locks", STATE / "receipts"
KEPT_LOCK, PARAMS_BEFORE = STATE / "dvc.lock", STATE / "params.before.yaml"


def metrics_of(stage: str) -> Path:
    """Return where a stage writes its metrics."""
    return REPORTS / stage / "metrics.json"

"""The page of derivations names functions that there are."""

import importlib
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "derivations.md"


def test_every_function_that_the_page_names_exists() -> None:
    names = re.findall(r"`(layers|rnn|solver|transformer|threshold_rnn)\.([\w.]+)`", PAGE.read_text())
    for module, path in names:
        found: object = importlib.import_module(f"recap.reference.{module}")
        for attribute in path.split("."):
            found = getattr(found, attribute)
    named = {path for _, path in names}
    assert {"rnn_step_backward", "lstm_step_backward", "rnn_backward", "lstm_backward"} <= named
    assert {"MultiHeadAttention", "threshold_constraints", "temporal_softmax_loss"} <= named

"""The page for the course's notebooks names modules and functions that there are."""

import importlib
import re
from pathlib import Path

import recap.reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notebooks.md"
OWN = {"attention", "gradient_table", "optim", "overfit", "sanity", "sanity_config", "threshold_rnn"}
"""Modules of the reference that no notebook imports."""


def test_every_module_and_function_that_the_page_names_exists() -> None:
    rows = re.findall(r"^\| (`.*`) \| `(recap[\w.]+)` \|$", PAGE.read_text(), flags=re.MULTILINE)
    for names, module in rows:
        found = importlib.import_module(module)
        for name in re.findall(r"`(\w+)`", names):
            assert callable(getattr(found, name))
    reference = {path.stem for path in Path(recap.reference.__file__).parent.glob("[!_]*.py")}
    assert reference - OWN == {module.rpartition(".")[2] for _, module in rows if ".reference." in module}

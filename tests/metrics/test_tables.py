"""Rows of cells in every style."""

import pytest

from recap.metrics.files.tables import format_rows


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("text", "a_b  c\n1    x|y"),
        ("markdown", "| a_b | c |\n|---|---|\n| 1 | x\\|y |"),
        (
            "latex",
            "\\begin{tabular}{ll}\n\\toprule\na\\_b & c \\\\\n"
            "\\midrule\n1 & x|y \\\\\n\\bottomrule\n\\end{tabular}",
        ),
        ("csv", "a_b,c\n1,x|y"),
    ],
)
def test_rows_come_in_every_style(style, expected):
    assert format_rows([("a_b", "c"), (1, "x|y")], style) == expected

"""Rows of cells as text, Markdown, LaTeX or CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Literal

Style = Literal["text", "markdown", "latex", "csv"]


def format_rows(rows: Sequence[Sequence[object]], style: Style) -> str:
    """Return a table whose first row is its head; LaTeX's needs booktabs."""
    cells = [[str(cell) for cell in row] for row in rows]
    return {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv}[style](cells)


def _text(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _markdown(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _latex(rows: list[list[str]]) -> str:
    escaped = str.maketrans({sign: f"\\{sign}" for sign in "&%$#_{}"} | {"\\": r"\textbackslash{}"})
    lines = [" & ".join(cell.translate(escaped) for cell in row) + r" \\" for row in rows]
    head = [rf"\begin{{tabular}}{{{'l' * len(rows[0])}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*head, *lines[1:], r"\bottomrule", r"\end{tabular}"])


def _csv(rows: list[list[str]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue().rstrip("\n")

"""The page: sections in their order, one template, everything inside one file."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recap.reporting.config import ReportConfig
from recap.reporting.inputs import Inputs
from recap.reporting.sections import (
    backbone,
    data,
    features,
    gallery,
    headline,
    reproduce,
    scores,
    training,
    vision,
)
from recap.reporting.selection import Selection, select

TEMPLATES = Path(__file__).parent
Build = Callable[[Inputs, Selection, ReportConfig], dict[str, Any] | None]

SECTIONS: tuple[tuple[str, str, Build], ...] = (
    ("data", "Data", data.build),
    ("backbone", "Backbone", backbone.build),
    ("features", "Features", features.build),
    ("training", "Training", training.build),
    ("scores", "Scores", scores.build),
    ("gallery", "Gallery", gallery.build),
    ("vision", "What the networks see", vision.build),
    ("reproduce", "Reproduce", reproduce.build),
)
"""Key (anchor; its template is section_KEY.html.jinja), title, and what makes its content or None."""


def render_page(inputs: Inputs, config: ReportConfig) -> str:
    """The whole page as HTML that loads nothing: images, styles and the script are inside.

    Args:
        inputs: what the stages wrote.
        config: the group `report`.

    Raises:
        InputError: an image does not decode.
    """
    selection = select(inputs, config)
    contents = [(key, title, build(inputs, selection, config)) for key, title, build in SECTIONS]
    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        headline=headline.build(inputs, selection, config),
        sections=[
            {"key": key, "title": title, "content": content}
            for key, title, content in contents
            if content is not None
        ],
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )

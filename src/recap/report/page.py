"""The page: sections in their order, one template, everything inside one file."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recap.report.inputs import Inputs
from recap.report.sections import (
    backbone,
    data,
    errors,
    features,
    gallery,
    headline,
    reproduce,
    sanity,
    scores,
    training,
    vision,
)

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("page.js", "gallery.js", "vision.js")
"""Each has a scope of its own, but what the first declares is there for all."""
Fetch = Callable[[Sequence[str]], dict[str, Path | str]]
Build = Callable[[Inputs], dict[str, Any] | None]

SECTIONS: tuple[tuple[str, str, Build], ...] = (
    ("data", "Data", data.build),
    ("backbone", "Backbone", backbone.build),
    ("features", "Features", features.build),
    ("training", "Training", training.build),
    ("scores", "Scores", scores.build),
    ("errors", "Errors", errors.build),
    ("gallery", "Gallery", gallery.build),
    ("vision", "What the networks see", vision.build),
    ("sanity", "Sanity", sanity.build),
    ("reproduce", "Reproduce", reproduce.build),
)
"""Key (anchor; its template is section_KEY.html.jinja), title, and what makes its content or None."""


def render_page(inputs: Inputs, fetch: Fetch = lambda urls: {}) -> str:
    """Return the whole page as HTML that loads nothing: images, styles and the script are inside.

    Args:
        inputs: what the stages wrote.
        fetch: brings the images of URLs, or says why not; of what it leaves out, number and address stand.

    Raises:
        InputError: an image does not decode.
    """
    inputs = replace(inputs, fetched=fetch(inputs.urls()))
    contents = [(key, title, build(inputs)) for key, title, build in SECTIONS]
    return render(headline.build(inputs), contents, SCRIPTS)


def render(
    top: Mapping[str, Any],
    contents: Sequence[tuple[str, str, Mapping[str, Any] | None]],
    scripts: Sequence[str],
    folder: Path | None = None,
    style: str = "",
) -> str:
    """Return a page of its own from the contents of its sections.

    Args:
        top: what headline.html.jinja shows.
        contents: key, title and content of each section; one without content is left out.
        scripts: of the assets.
        folder: its templates go before those of the report.
        style: follows the page's own.
    """
    first, *others = ((ASSETS / name).read_text(encoding="utf-8") for name in scripts)
    script = "".join([first, *(f"{{\n{other}}}\n" for other in others)])
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES] if folder else TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        headline=top,
        sections=[
            {"key": key, "title": title, "content": content}
            for key, title, content in contents
            if content is not None
        ],
        style=Markup((ASSETS / "page.css").read_text(encoding="utf-8") + style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )

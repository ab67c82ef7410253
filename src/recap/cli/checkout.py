"""The commands of `recap` about the checkout: settings, plots, two pipelines, the way back into order."""

import argparse
import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

ROOT = Path()
COMPARISON = Path("build/comparison.html")
PLOTS_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>recap: plots</title>
<script>%s</script>
<style>body { font-family: system-ui, sans-serif; margin: 2rem } div { margin-bottom: 1rem }</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `config`, `repro`, `plots-page`, `report`, `heal` and `restore` to the command line."""
    config = subparsers.add_parser("config", help="check params.yaml and print it, resolved")
    config.add_argument("--check", action="store_true", help="print nothing when it is right")
    config.set_defaults(run=_config, at_root=True)

    report = subparsers.add_parser("report", help="show this pipeline and another one on a page")
    report.add_argument(
        "--compare", required=True, metavar="REVISION", help="a revision of git or an experiment of DVC"
    )
    report.add_argument("--to", type=Path, metavar="FILE", help=f"the page (default {COMPARISON})")
    report.set_defaults(run=_report, at_root=True)

    for name, run, text in (
        ("repro", _repro, "run what changed, stages side by side; make repro does it"),
        ("plots-page", _plots_page, "make the page that `dvc plots show` fills, offline"),
        ("heal", _heal, "mend what a kill left of DVC's own files; make repro does it"),
        ("restore", _restore, "back to the committed settings and their outputs"),
    ):
        subparsers.add_parser(name, help=text).set_defaults(run=run, at_root=True)


def _config(options: argparse.Namespace) -> None:
    import dataclasses
    import json

    from recap.core.config import load_all

    groups = load_all(ROOT / "params.yaml")
    if not options.check:
        resolved = {name: dataclasses.asdict(group) for name, group in groups.items()}
        print(json.dumps(resolved, indent=2))


def _repro(options: argparse.Namespace) -> int:
    from recap.core.environment import is_on, positive_number
    from recap.guard.healing import heal
    from recap.runtime.parent import MAKE, end_with_parent
    from recap.tracking.importer import RECORD_SECONDS, bring, bring_ended
    from recap.tracking.live import RECORDS, live_curves
    from recap.workspace.journal import journals
    from recap.workspace.root import check_checkout
    from recap.workspace.side_by_side import count_lanes, reproduce

    check_checkout(os.environ)
    if MAKE in os.environ:
        end_with_parent(os.environ)
    _print_lines(heal(ROOT))
    is_tracked = is_on(os.environ, "RECAP_TRACKING")
    root = ROOT.resolve()
    with live_curves(os.environ, lambda: journals(root), bring_ended) if is_tracked else nullcontext():
        code = reproduce(ROOT, count_lanes(ROOT), {**os.environ, RECORDS: "off"})
    _print_lines(heal(ROOT))
    if is_tracked:
        try:
            seconds = positive_number(os.environ, "RECAP_RECORD_SECONDS", RECORD_SECONDS)
            bring(os.environ, seconds, root, everything=True)
        except Exception as error:  # whatever happens to the record, the pipeline's outputs are there
            print(f"warning: MLflow: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _plots_page(options: argparse.Namespace) -> None:
    """Write a page template with vl-convert's Vega inside, and tell DVC, which works without it too."""
    import vl_convert
    from dvc.config import Config

    from recap.core.artifacts import write_text

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed").replace("</script", "<\\/script")
    write_text(ROOT / ".dvc" / "tmp" / "plots.html", PLOTS_PAGE % script)
    with Config(str(ROOT / ".dvc"), validate=False).edit("local") as settings:
        settings.setdefault("plots", {})["html_template"] = "tmp/plots.html"


def _report(options: argparse.Namespace) -> None:
    import tempfile

    from recap.comparison.page import render_comparison
    from recap.comparison.sides import open_sides
    from recap.core.artifacts import write_text

    with (
        tempfile.TemporaryDirectory() as folder,
        open_sides(ROOT, options.compare, Path(folder)) as (base, this),
    ):
        write_text(options.to or COMPARISON, render_comparison(base, this, Path(folder)))
    print(options.to or COMPARISON)


def _heal(options: argparse.Namespace) -> None:
    from recap.guard.healing import heal

    _print_lines(heal(ROOT))


def _restore(options: argparse.Namespace) -> None:
    from recap.guard.restore import restore

    _print_lines(restore(ROOT, os.environ))

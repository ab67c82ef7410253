"""The page that `dvc plots show` fills: Vega inside it, so that it renders without a network."""

from pathlib import Path

from recap.core.artifacts import write_text

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>recap: plots</title>
<script>%s</script>
<style>body {{ font-family: system-ui, sans-serif; margin: 2rem }} div {{ margin-bottom: 1rem }}</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def write_plots_page(path: Path) -> None:
    """Write DVC's page template (``plots.html_template`` in .dvc/config) with vl-convert's Vega inside."""
    import vl_convert

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed").replace("</script", "<\\/script")
    write_text(path, PAGE.replace("{{", "{").replace("}}", "}") % script)

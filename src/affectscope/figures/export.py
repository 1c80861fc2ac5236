"""Figures on disk: each as a page, two pictures and a table, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from affectscope.atomic import write_bytes

_VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])

# vega-embed draws with an expression interpreter (ast), so that the page may forbid eval; nothing
# on it may load anything, and only the two scripts whose hashes are named may run.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src '$library_hash' '$script_hash'; base-uri 'none'; \
form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>body { margin: 16px; } #figure { max-width: 100%; overflow-x: auto; }</style>
</head>
<body>
<div id="figure"></div>
<script>$library</script>
<script>$script</script>
</body>
</html>
""")


def save_figure(
    chart: alt.TopLevelMixin, rows: pd.DataFrame, folder: Path, name: str
) -> list[Path]:
    """Write ``name.html``, ``.svg``, ``.png`` (twice the size) and ``.csv`` into ``folder``.

    The page works offline. Each file is there whole or not at all.

    Args:
        chart: The figure.
        rows: The rows of the table that it draws.
        folder: Where to write; made when absent.
        name: Name of the files, without their endings.

    Returns:
        The four files.

    Raises:
        DiskFullError: No space is left.
        RunFolderError: The folder may not be written.
    """
    spec: dict[str, Any] = chart.to_dict()
    svg = vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE)
    contents = {
        "html": _page(spec, name).encode(),
        "svg": svg.encode(),
        "png": vl_convert.vegalite_to_png(spec, vl_version=_VEGA_LITE, scale=2),
        "csv": rows.to_csv(index=False, lineterminator="\n").encode(),
    }
    paths = []
    for ending, content in contents.items():
        path = folder / f"{name}.{ending}"
        write_bytes(path, content)
        paths.append(path)
    return paths


@cache
def _library() -> str:
    """Vega-Embed, Vega-Lite and Vega, in one script."""
    return str(vl_convert.javascript_bundle(vl_version=_VEGA_LITE))  # type: ignore[call-arg]


def _page(spec: dict[str, Any], title: str) -> str:
    # vl_convert's own page lets "</script>" in a label end the script, so "<" is escaped here.
    options = {
        "ast": True,
        "renderer": "svg",
        "actions": {"export": True, "source": False, "compiled": False, "editor": False},
    }
    values = [json.dumps(value).replace("<", "\\u003c") for value in (spec, options)]
    script = f"vegaEmbed('#figure', {values[0]}, {values[1]}).catch(console.error);"
    return _PAGE.substitute(
        title=html.escape(title),
        library=_library(),
        library_hash=_hash_source(_library()),
        script=script,
        script_hash=_hash_source(script),
    )


def _hash_source(text: str) -> str:
    """A script or style as a Content-Security-Policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

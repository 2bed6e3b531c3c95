"""``report.html``: one or several searches as a single HTML file that works offline."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from falsr_nas.core.files import write_atomically
from falsr_nas.report.architecture import SHAPES, blank_drawing, operator_colors
from falsr_nas.report.page_data import page_data
from falsr_nas.report.run import Run

SCRIPTS = ("run.js", "chart.js", "front.js", "candidate.js", "growth.js", "lists.js", "main.js")
"""Scripts of the page, in the order in which they are loaded."""


def write_page(path: Path, runs: Sequence[Run]) -> None:
    """Write the page of one or several searches.

    Raises:
        UserError: the file cannot be written.
    """
    write_atomically(path, page(runs).encode())


def page(runs: Sequence[Run]) -> str:
    """Return the page of one or several searches as HTML.

    The same searches give the same page. Names, messages and tracebacks are escaped, and the
    page's content security policy forbids all other scripts and every request.
    """
    data = page_data(runs)
    script = "\n".join(_asset(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sizes = sorted({depth for run in data["runs"] for depth in run["depths"]})
    drawings = "".join(f'<template id="drawing-{n}">{blank_drawing(n)}</template>' for n in sizes)
    # Only "<" could end the script element that holds the data.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Template(_asset("page.html")).substitute(
        title=escape(" and ".join(run.name for run in runs)),
        policy=(
            f"default-src 'none'; script-src 'sha256-{digest}';"
            " style-src 'unsafe-inline'; img-src data:"
        ),
        style=f"{operator_colors(data['operators'])}\n{_asset('page.css')}\n{SHAPES}",
        drawings=drawings,
        data=text,
        script=script,
    )


def _asset(name: str) -> str:
    return (files("falsr_nas.report") / "assets" / name).read_text(encoding="utf-8")

"""A figure of matplotlib that Jupyter shows as an image."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure that is made without pyplot, and shown as an image all the same.

    Without pyplot a figure needs no display and no closing, but Jupyter has no image of it: only
    pyplot makes it known. This class tells Jupyter itself.
    """

    def _repr_png_(self) -> bytes:
        """Return the figure as a PNG, at its own resolution; Jupyter asks for it."""
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()

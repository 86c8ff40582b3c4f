"""Figures in one style: colours that colour-blind people can read, titles that are findings."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#595959"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY)
"""Okabe and Ito, "Color Universal Design", 2008."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "agelens",
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure.

    Attributes:
        name: of its files, without an ending.
        title: what it shows, as a finding.
        svg, png: its two forms.
        width: in inches, by which a page chooses its size on the screen.
        alt: what it shows, for those who cannot see it; the title where that says it all.
    """

    name: str
    title: str
    svg: bytes
    png: bytes
    width: float
    alt: str = ""

    @property
    def source(self) -> str:
        """The SVG as an address that a page can hold."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


def draw(
    name: str,
    title: str,
    paint: Callable[..., None],
    *,
    columns: int = 1,
    size: tuple[float, float] = (7.5, 3.6),
    alt: str = "",
) -> Figure:
    """Draw a figure.

    Args:
        name: of its files.
        title: the finding; it stands above the figure on the page.
        paint: draws on the axes that it is given, `columns` of them.
        columns: axes side by side.
        size: width and height in inches.
        alt: what it shows, for those who cannot see it.
    """
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=size, layout="constrained")
        axes: list[Axes] = [canvas.add_subplot(1, columns, i + 1) for i in range(columns)]
        paint(*axes)
        svg, png = io.BytesIO(), io.BytesIO()
        canvas.savefig(svg, format="svg", metadata={"Date": None})
        canvas.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return Figure(name, title, svg.getvalue(), png.getvalue(), size[0], alt)

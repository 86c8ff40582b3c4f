"""A report: sections of text, figures, tables and pictures, as one HTML file, images and JSON."""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from agelens import __version__
from agelens.errors import ImageError
from agelens.files import Inputs, atomic_path
from agelens.pipeline.images import load_image
from agelens.reporting.figures import Figure

PAGE, NUMBERS = "report.html", "report.json"
THUMBNAIL = 112
"""Side in pixels of a picture in a report: twice what a phone shows, at 3 KB each."""
QUALITY = 78


@dataclass(frozen=True)
class Table:
    """Rows under a head; numbers are set as they come."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | int]]

    @property
    def kinds(self) -> list[str]:
        """What each column holds, "text" or "number", by its first row."""
        first = self.rows[0] if self.rows else self.head
        return ["text" if str(cell)[:1].isalpha() else "number" for cell in first]


@dataclass(frozen=True)
class Picture:
    """A small picture with its caption; without `source` its file could not be read."""

    source: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures in a grid, or in groups that belong together."""

    title: str
    groups: Sequence[Sequence[Picture]]
    note: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


class Status(enum.StrEnum):
    """How good a finding is, in the word that a report says it with."""

    EXPECT = "expect"
    GOOD = "good"
    FAIR = "fair"
    POOR = "falls short"


@dataclass(frozen=True)
class Finding:
    """A sentence of a verdict."""

    status: Status
    text: str


@dataclass(frozen=True)
class Verdict:
    """Findings, most important first."""

    findings: Sequence[Finding]


Block = Text | Figure | Table | Gallery | Verdict


def has_content(block: Block) -> bool:
    """Whether there is anything to show of a block."""
    if isinstance(block, Table):
        return bool(block.rows)
    if isinstance(block, Gallery):
        return bool(block.groups)
    if isinstance(block, Verdict):
        return bool(block.findings)
    return True


@dataclass
class Section:
    """A part of the report with its place in the table of contents.

    Attributes:
        title: of the section.
        blocks: what it shows, in order.
        numbers: every number of it, for the JSON file.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        """Its name in addresses and in the JSON file."""
        return self.title.lower().replace(" ", "-")


def thumbnail(path: Path, caption: str) -> Picture:
    """A small copy of a picture, upright, its sides kept in proportion.

    Args:
        path: of the picture.
        caption: below it.
    """
    try:
        image = load_image(path)
    except (ImageError, OSError):
        return Picture("", caption)
    scale = THUMBNAIL / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return Picture("data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode(), caption)


def write_report(
    folder: Path,
    title: str,
    summary: str,
    sections: Sequence[Section],
    *,
    page: str = PAGE,
    numbers: str | None = None,
    inputs: Inputs | None = None,
) -> Path:
    """Write the page, ``report.json`` and ``figures/``; each file whole or not at all.

    Sections and blocks without content are left out of the page.

    Args:
        folder: where they go.
        title: of the page.
        summary: the paragraph below it.
        sections: of the page, in order.
        page: its file's name.
        numbers: the text of ``report.json``; by default it has the numbers of the sections.
        inputs: files that must not be written over.

    Returns:
        Path of the page, which needs no other file.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.tests["of"] = lambda block, kind: type(block).__name__ == kind
    source = files("agelens.reporting").joinpath("page.html").read_text("utf-8")
    shown = [replace(one, blocks=list(filter(has_content, one.blocks))) for one in sections]
    shown = [section for section in shown if section.blocks]
    html = environment.from_string(source).render(
        title=title, summary=summary, sections=shown, version=__version__
    )
    for section in shown:
        for block in section.blocks:
            if isinstance(block, Figure):
                for ending, data in ((".svg", block.svg), (".png", block.png)):
                    place = folder / "figures" / (block.name + ending)
                    with atomic_path(place, inputs=inputs) as path:
                        path.write_bytes(data)
    if numbers is None:
        own = {section.anchor: section.numbers for section in sections}
        numbers = json.dumps(own, indent=2, ensure_ascii=False, default=_plain) + "\n"
    for name, content in ((NUMBERS, numbers), (page, html)):
        with atomic_path(folder / name, inputs=inputs) as path:
            path.write_text(content, "utf-8")
    return folder / page


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)

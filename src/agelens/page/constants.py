"""The numbers that the page's TypeScript computes with, from the Python modules that own them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from agelens.pipeline import detect, images, memory, quality, views

_NAMES: dict[str, tuple[ModuleType, tuple[str, ...]]] = {
    "detector": (
        detect,
        (
            "STRIDE",
            "COARSE_SCORE",
            "WEAK",
            "FACE",
            "AROUND",
            "SURE",
            "BOTH",
            "ASKEW",
            "ENOUGH",
            "OVERLAP",
        ),
    ),
    "images": (images, ("MIN_SIDE",)),
    "memory": (memory, ("DETECT_EVERY", "LOST_AFTER", "MEMORY", "FAULT_WEIGHT", "MIN_OVERLAP")),
    "quality": (
        quality,
        (
            "NOSE_DEPTH",
            "MIN_SIZE",
            "SIDE",
            "MIN_SHARPNESS",
            "ROUNDING",
            "BRIGHTNESS",
            "MAX_YAW",
            "MAX_CUT_OFF",
            "STRETCH",
            "MAX_STRETCH",
            "MIN_SCORE",
            "MIN_TEXTURE",
            "UNCLIPPED",
            "MAX_WIDTH",
            "WIDTH_COVERAGE",
        ),
    ),
    "views": (
        views,
        (
            "UNIT",
            "COARSE_VIEW",
            "BORDERS",
            "TILE_SIDE",
            "TILE_VIEW",
            "LONGEST_TILE",
            "MAX_TILES",
            "NARROW",
            "LONGEST_STRIP",
        ),
    ),
}
"""For each part of the page: the module, and its constants that the page needs."""


def constants() -> dict[str, Any]:
    """All constants of the page, ready for JSON; their names are Python's in lower case."""
    return {
        part: {name.lower(): getattr(module, name) for name in names}
        for part, (module, names) in _NAMES.items()
    }

"""The small network in BlazeFace's place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from agelens.pipeline import detect, views

STRIDE = 8
"""From one anchor of the small network to the next, in pixels of the view."""


@contextmanager
def alone(network: Path | None) -> Iterator[None]:
    """A block in which detectors use a network of `SMALL`'s plan, as that is best used.

    Args:
        network: its ONNX file, from ``teach.py``; None changes nothing.
    """
    if network is None:
        yield
        return
    with (
        mock.patch.object(detect, "shipped", return_value=network),
        mock.patch.object(detect, "STRIDE", STRIDE),
        mock.patch.multiple(views, COARSE_VIEW=128, BORDERS=(0.0, 0.5)),
    ):
        yield

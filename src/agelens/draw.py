"""Boxes and ages on a picture; and a face that nobody has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agelens.types import Face

COLOUR = (255, 176, 0)
"""RGB of boxes and labels: amber, told apart from skin by colour-blind people too."""
_SKIN, _SHADE, _HAIR = (214, 170, 140), (165, 115, 95), (60, 42, 30)
_OVALS = (
    (320, 700, 260, 160, 0, 360, -1, (70, 80, 120)),  # shoulders
    (320, 500, 50, 90, 0, 360, -1, _SHADE),  # neck
    (320, 270, 150, 185, 0, 360, -1, _HAIR),
    (320, 320, 125, 165, 0, 360, -1, _SKIN),
    *((x, 290, 26, 13, 0, 360, -1, (240, 240, 240)) for x in (265, 375)),  # eyes
    *((x, 290, 12, 12, 0, 360, -1, _HAIR) for x in (265, 375)),
    *((x, 262, 34, 10, 180, 360, 7, _HAIR) for x in (265, 375)),  # brows
    (320, 355, 24, 14, 20, 160, 6, _SHADE),  # nose
    (320, 408, 44, 16, 0, 360, -1, (170, 85, 85)),  # mouth
)
"""Centre, half axes, start and end in degrees, thickness (-1: filled), colour."""


def draw_faces(image: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.uint8]:
    """A copy of the picture with every face's box and age.

    Args:
        image: RGB uint8 ``[H, W, 3]``.
        faces: with coordinates in this picture.

    Returns:
        RGB uint8 ``[H, W, 3]``.
    """
    drawn = image.copy()
    height, width = image.shape[:2]
    line = max(1, round(max(height, width) / 400))
    for face in faces:
        box = face.box
        x1, y1 = max(0, round(box.x1)), max(0, round(box.y1))
        x2, y2 = min(width - 1, round(box.x2)), min(height - 1, round(box.y2))
        cv2.rectangle(drawn, (x1, y1), (x2, y2), COLOUR, line)
        label, scale = f"{face.age:.0f}", max(0.4, box.height / 200)
        (text_width, text_height), below = cv2.getTextSize(
            label, cv2.FONT_HERSHEY_SIMPLEX, scale, line
        )
        top = max(y1, text_height + below + 2 * line)  # the label stays inside the picture
        corner = (x1 + text_width + 2 * line, top - text_height - below - 2 * line)
        cv2.rectangle(drawn, (x1, top), corner, COLOUR, cv2.FILLED)
        place = (x1 + line, top - below)
        cv2.putText(
            drawn, label, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), line, cv2.LINE_AA
        )
    return drawn


def draw_face(path: Path) -> str:
    """Draw a face that the detector finds with a score of 0.8, so that every step has its work.

    Its age means nothing. Nobody's photo need be inside the package.

    Args:
        path: of a JPEG to write, 640 x 640 pixels.
    """
    picture = np.full((640, 640, 3), (150, 165, 180), np.uint8)
    for *oval, start, end, line, colour in _OVALS:
        x, y, width, height = oval
        cv2.ellipse(picture, (x, y), (width, height), 0, start, end, colour, line, cv2.LINE_AA)
    Image.fromarray(cv2.GaussianBlur(picture, (0, 0), 2)).save(path, "JPEG", quality=90)
    return str(path)

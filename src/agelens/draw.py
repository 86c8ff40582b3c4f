"""Boxes and ages on a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.types import Face

COLOUR = (255, 176, 0)
"""RGB of boxes and labels: amber, told apart from skin by colour-blind people too."""


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

"""Measures of one picture. Pure functions; cleanvision does darkness, blur and information."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.align import align_face
from agelens.pipeline.quality import Grey, brightness, contrast, cut_off_fraction, sharpness, yaw
from agelens.types import Landmarks

FACE_SIDE = 128
"""Side in pixels of the aligned face that sharpness and contrast are measured on."""
LARGEST = 512
LOST_DETAIL = 1.5
"""Root mean square in grey levels that may be lost: about what JPEG at quality 95 changes."""


def effective_side(grey: Grey) -> int:
    """How many pixels of side a picture's detail needs; far below its size, it was enlarged.

    The smallest side whose cosine frequencies hold all but `LOST_DETAIL` of the picture.

    Args:
        grey: ``[H, W]``; above `LARGEST` pixels of side it is made smaller first.

    Returns:
        Pixels of the longer side.
    """
    longer = max(grey.shape)
    if longer > LARGEST:
        scale = LARGEST / longer
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    even = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]  # what the transform takes
    if not even.size:
        return int(longer)
    power = np.square(cv2.dct(even.astype(np.float32)))
    by_side = np.bincount(_sides(*even.shape), power.ravel())
    lost = np.sqrt((by_side.sum() - by_side.cumsum()).clip(0) / even.size)
    return int(np.argmax(lost < LOST_DETAIL))


@lru_cache(maxsize=8)
def _sides(height: int, width: int) -> NDArray[np.int64]:
    """The side in pixels that has room for each cosine frequency of a picture, flattened."""
    fraction = np.maximum.outer((np.arange(height) + 1) / height, (np.arange(width) + 1) / width)
    sides: NDArray[np.int64] = np.ceil(fraction * max(height, width)).astype(np.int64).ravel()
    return sides


def mean_colour(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean position of an RGB picture on Lab's green-red and blue-yellow axes, about -60 to 60."""
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    _, a, b = cv2.mean(lab)[:3]
    return a - 128, b - 128


def roll(landmarks: Landmarks) -> float:
    """Degrees by which the line between the eyes is turned, clockwise positive."""
    right, left = np.array(landmarks.right_eye), np.array(landmarks.left_eye)
    across, down = left - right
    return float(np.degrees(np.arctan2(down, across)))


def lettering(grey: Grey, box: NDArray[np.float64] | None) -> float:
    """Fraction of the picture outside the face that is thin strokes: letters, marks, and fences.

    Strokes narrower than a 40th of the picture stand out from their surroundings by more than 48
    grey levels (top hat and black hat; Serra 1982).
    """
    width = max(3, max(grey.shape) // 40 | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (width, width))
    bright = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel)
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    strokes = cv2.max(bright, dark) > 48
    outside = np.ones(grey.shape, bool)
    if box is not None:
        x1, y1, x2, y2 = np.maximum(np.round(box), 0).astype(int)
        outside[y1:y2, x1:x2] = False
    return float(strokes[outside].mean()) if outside.any() else 0.0


def flatness(grey: Grey) -> float:
    """Fraction of pixels in surroundings of one grey level, 3 x 3: drawings, flat backgrounds."""
    kernel = np.ones((3, 3), np.uint8)
    return float((cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, kernel) == 0).mean())


def measure(
    image: NDArray[np.uint8],
    landmarks: Landmarks | None,
    box: NDArray[np.float64] | None,
    template: NDArray[np.float64],
) -> dict[str, Any]:
    """All measures of a picture.

    Args:
        image: RGB uint8 ``[H, W, 3]``.
        landmarks: of its face, in pixels; None when it has none.
        box: ``[4]``, x1 y1 x2 y2 of its face, in pixels.
        template: ``[4, 2]``, the dataset's alignment template.

    Returns:
        A value for each measure; those of the face are NaN without one.
    """
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    green_red, blue_yellow = mean_colour(image)
    row: dict[str, Any] = {
        "brightness": brightness(grey),
        "effective_side": effective_side(grey),
        "green_red": green_red,
        "blue_yellow": blue_yellow,
        "lettering": lettering(grey, box),
        "flatness": flatness(grey),
    }
    if landmarks is None:
        return row | dict.fromkeys(("contrast", "sharpness", "roll", "yaw", "missing"), np.nan)
    face = cv2.cvtColor(align_face(image, landmarks, template, FACE_SIDE), cv2.COLOR_RGB2GRAY)
    return row | {
        "contrast": contrast(face),
        "sharpness": sharpness(face),
        "roll": roll(landmarks),
        "yaw": yaw(landmarks),
        "missing": cut_off_fraction(landmarks, template, width, height),
    }

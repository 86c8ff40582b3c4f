"""Quality of a face's picture: measures, and which of them make an estimate less reliable."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.align import ALIGNMENT_POINTS, align_face, fit_similarity
from agelens.types import Detection, Landmarks, Quality

Grey = NDArray[Any]
"""A grey uint8 picture ``[H, W]``, as OpenCV types it."""
NOSE_DEPTH = 0.8
"""How far the nose tip stands before the line between the ears, in distances from ear to ear: about
12 cm of 15 on an adult."""
# Thresholds stand where the error is 1.3 times that of the same faces in a good picture, as
# benchmarks/quality_thresholds.py measures it with the default model on UTKFace's validation part
# (benchmarks/results/quality-thresholds.json).
MIN_SIZE = 22.0
"""The end of what was measured: pictures reduced to 28 pixels cost 9 %, to 22 pixels 22 %."""
SIDE = 128
"""Side in pixels at which crops are measured, whatever the model reads: sharpness depends on it."""
MIN_SHARPNESS = 2.0
"""A blur of 4 pixels of a 200 pixel face costs 14 %, of 5.6 pixels 27 %."""
BRIGHTNESS = (0.03, 0.86)
"""Six stops less light cost 12 %, seven 42 %; two and a half stops more 31 %: what is clipped
is lost."""
MAX_YAW = 45.0
"""The end of what was measured: up to here the error is not clearly raised."""
MAX_CUT_OFF = 0.5
"""The end of what was measured: half of a face costs 23 %."""


def brightness(grey: Grey) -> float:
    """Mean of a grey picture, 0 black to 1 white."""
    return float(grey.mean() / 255)


def contrast(grey: Grey) -> float:
    """Root mean square contrast: the standard deviation of a grey picture, 0 to about 0.5."""
    return float(grey.std() / 255)


def sharpness(grey: Grey) -> float:
    """Standard deviation of the Laplacian in grey levels (Pech-Pacheco et al., ICPR 2000)."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).std())


def yaw(landmarks: Landmarks) -> float:
    """Degrees by which the head seems turned, positive to the picture's right; a rough estimate.

    The nose tip stands before the line between the ears, so that it moves along that line when the
    head turns: by the tangent of the angle times `NOSE_DEPTH`.
    """
    right, left = np.array(landmarks.right_ear), np.array(landmarks.left_ear)
    across = left - right
    width = float(across @ across)
    if width == 0:
        return 0.0
    offset = float((np.array(landmarks.nose) - (right + left) / 2) @ across) / width
    return float(np.degrees(np.arctan2(offset, NOSE_DEPTH)))


def cut_off_fraction(
    landmarks: Landmarks, template: NDArray[np.float64], width: int, height: int
) -> float:
    """Fraction of the aligned face that lies outside the picture, 0 to 1."""
    points = landmarks.to_array()[:ALIGNMENT_POINTS]
    matrix = fit_similarity(template, points)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    corners = (square @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inside, _ = cv2.intersectConvexConvex(corners, frame)
    return float(np.clip(1 - inside / abs(cv2.contourArea(corners)), 0, 1))


def measure_quality(
    crop: NDArray[np.uint8],
    landmarks: Landmarks,
    template: NDArray[np.float64],
    width: int,
    height: int,
) -> Quality:
    """Measure one face.

    Args:
        crop: the aligned face, RGB uint8 ``[S, S, 3]`` of any size.
        landmarks: of the face, in pixels of the picture.
        template: ``[4, 2]``, where they belong, as fractions of the crop's side.
        width: of the picture in pixels.
        height: of the picture in pixels.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    if len(grey) != SIDE:
        grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    matrix = fit_similarity(template, landmarks.to_array()[:ALIGNMENT_POINTS])
    size = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    sharp, light, turn = sharpness(grey), brightness(grey), yaw(landmarks)
    lost = cut_off_fraction(landmarks, template, width, height)
    out_of_bounds = {
        "small": size < MIN_SIZE,
        "blurred": sharp < MIN_SHARPNESS,
        "dark": light < BRIGHTNESS[0],
        "bright": light > BRIGHTNESS[1],
        "turned": abs(turn) > MAX_YAW,
        "cut off": lost > MAX_CUT_OFF,
    }
    reasons = tuple(name for name, found in out_of_bounds.items() if found)
    return Quality(size, sharp, light, contrast(grey), turn, lost, reasons)


def cut_face(
    image: NDArray[np.uint8],
    found: Detection,
    template: NDArray[np.float64],
    size: int,
    whole: tuple[int, int],
) -> tuple[NDArray[np.uint8], Quality]:
    """What the age model reads of one face, and how fit that is.

    Args:
        image: RGB uint8 ``[H, W, 3]``: a picture, or a reduction of it.
        found: a face of the picture.
        template: ``[4, 2]``, where landmarks belong, as fractions of the crop's side.
        size: side in pixels of the crop that the model reads.
        whole: width and height of the picture in pixels.

    Returns:
        RGB uint8 ``[size, size, 3]``, and its quality.
    """
    width, height = whole
    scale = np.divide(image.shape[1::-1], whole)
    places = Landmarks.from_array(found.landmarks.to_array() * scale)
    crop = align_face(image, places, template, size)
    return crop, measure_quality(crop, found.landmarks, template, width, height)

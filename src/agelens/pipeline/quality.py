"""Quality of a face's picture: measures, and which of them make an estimate less reliable."""

from __future__ import annotations

import math
from dataclasses import replace
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
"""The end of what was measured: pictures reduced to 28 pixels cost 11 %, to 22 pixels 25 %."""
SIDE = 128
"""Side in pixels at which crops are measured, whatever the model reads: sharpness depends on it."""
MIN_SHARPNESS = 0.045
"""A blur of 4 pixels of a 200 pixel face costs 18 %, of 5.6 pixels 24 %, of 8 pixels 85 %."""
ROUNDING = 20 / 12
"""What rounding to whole grey levels adds to the variance of the Laplacian: the sum of its squared
weights times the variance of a rounding."""
BRIGHTNESS = (0.03, 0.86)
"""Six stops less light cost 14 %, seven 36 %; two and a half stops more 22 %, three 43 %: what is
clipped is lost."""
MAX_YAW = 45.0
"""The end of what was measured: up to here the error is not clearly raised."""
STRETCH = (-1.328, 2.036, -0.471, 0.229)
"""Weights of `stretch_evidence`. At 3 % false alarms they tell two thirds of the pictures at 3:4
and two fifths of those at 4:3 from the same as they are (research/stretch.py)."""
MAX_STRETCH = (0.8, 1.35)
"""Faces that look wider than the second by their landmarks cost 41 % and more; of those narrower
than the first, 18 % at 0.74 and 30 % at 0.66."""
MIN_SCORE = 0.57
"""One face in a hundred of FairFace has a lower score, and half of the animals and things that the
detector takes for faces (research/no_faces.py)."""
MIN_TEXTURE = 0.33
"""Fewer than one face in a hundred has less, and three in five drawings with flat colours
(research/no_faces.py)."""
UNCLIPPED = (5, 249)
"""Grey levels, both included, of pixels that light has not made flat."""
MAX_WIDTH, WIDTH_COVERAGE = 42.0, 0.9
"""Years of an interval of that coverage: faces with wider ones, 2.6 % of UTKFace's validation part,
err twice as much as all do there."""
MAX_CUT_OFF = 0.5
"""The end of what was measured: nearly half of a face costs 22 %."""


def brightness(grey: Grey) -> float:
    """Mean of a grey picture, 0 black to 1 white."""
    return float(grey.mean() / 255)


def contrast(grey: Grey) -> float:
    """Root mean square contrast: the standard deviation of a grey picture, 0 to about 0.5."""
    return float(grey.std() / 255)


def sharpness(grey: Grey) -> float:
    """Standard deviation of the Laplacian over that of the grey levels, 0 for a flat picture.

    Of the Laplacian (Pech-Pacheco et al., ICPR 2000) what comes of rounding grey levels is taken
    away, so that less light or contrast alone changes nothing.
    """
    spread = float(grey.std())
    if spread == 0:
        return 0.0
    detail = float(cv2.Laplacian(grey, cv2.CV_32F).var()) - ROUNDING
    return math.sqrt(max(0.0, detail)) / spread


def texture(grey: Grey) -> float:
    """The median of the gradient's size over its mean; low where areas are flat, as in drawings.

    Of pixels that are neither black nor white; 1 where there are none.
    """
    across, down = (cv2.Sobel(grey, cv2.CV_16S, *axis) for axis in ((1, 0), (0, 1)))
    size = np.abs(across) + np.abs(down)
    seen = size[(grey >= UNCLIPPED[0]) & (grey <= UNCLIPPED[1])]
    total = int(seen.sum(dtype=np.int64))
    if not total:
        return 1.0
    below = np.bincount(seen).cumsum()  # of whole numbers, quicker than sorting
    middle = np.searchsorted(below, ((len(seen) - 1) // 2, len(seen) // 2), side="right").mean()
    return float(middle * len(seen) / total)


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


def stretch_evidence(landmarks: Landmarks) -> tuple[float, float, float, float]:
    """What landmarks say of a picture that is stretched across or along a face.

    In units of the distance from between the eyes to the mouth, on the axis through both: 1, the
    logarithm of the distance between the ears across the axis, how far down they are on it, and the
    square of how far they are on one side of it.
    """
    eyes = (np.array(landmarks.right_eye) + np.array(landmarks.left_eye)) / 2
    down = complex(*(np.array(landmarks.mouth) - eyes))
    if down == 0:
        return 1.0, 0.0, 0.0, 0.0
    right, left = (
        complex(*(np.array(ear) - eyes)) / down for ear in (landmarks.right_ear, landmarks.left_ear)
    )
    across = max(abs(right.imag - left.imag), 0.1)
    return 1.0, math.log(across), (right.real + left.real) / 2, (right.imag + left.imag) ** 2


def stretch(landmarks: Landmarks) -> float:
    """By how much the picture seems stretched across the face, 1 for not at all; a rough estimate.

    The detector finds landmarks as if faces were stretched less than they are, and heads that are
    turned or bowed look stretched.
    """
    evidence = stretch_evidence(landmarks)
    return math.exp(sum(weight * value for weight, value in zip(STRETCH, evidence, strict=True)))


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
    score: float = 1.0,
) -> Quality:
    """Measure one face.

    Args:
        crop: the aligned face, RGB uint8 ``[S, S, 3]`` of any size.
        landmarks: of the face, in pixels of the picture.
        template: ``[4, 2]``, where they belong, as fractions of the crop's side.
        width: of the picture in pixels.
        height: of the picture in pixels.
        score: of the face, by the detector, 0 to 1.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    if len(grey) != SIDE:
        grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    matrix = fit_similarity(template, landmarks.to_array()[:ALIGNMENT_POINTS])
    size = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    sharp, light, turn = sharpness(grey), brightness(grey), yaw(landmarks)
    lost = cut_off_fraction(landmarks, template, width, height)
    ratio, grain = stretch(landmarks), texture(grey)
    out_of_bounds = {
        "small": size < MIN_SIZE,
        "blurred": sharp < MIN_SHARPNESS,
        "dark": light < BRIGHTNESS[0],
        "bright": light > BRIGHTNESS[1],
        "turned": abs(turn) > MAX_YAW,
        "cut off": lost > MAX_CUT_OFF,
        "stretched": abs(turn) <= MAX_YAW and not MAX_STRETCH[0] <= ratio <= MAX_STRETCH[1],
        "drawn": grain < MIN_TEXTURE,
        "unlike a face": score < MIN_SCORE,
    }
    reasons = tuple(name for name, found in out_of_bounds.items() if found)
    return Quality(size, sharp, light, contrast(grey), turn, lost, ratio, grain, reasons)


def with_interval(quality: Quality, width: float) -> Quality:
    """The quality with "unsure" among its reasons where an interval is too wide to be of use.

    Args:
        quality: of the face.
        width: of its interval of `WIDTH_COVERAGE`, in years.
    """
    if width <= MAX_WIDTH:
        return quality
    return replace(quality, reasons=(*quality.reasons, "unsure"))


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
    return crop, measure_quality(crop, found.landmarks, template, width, height, found.score)

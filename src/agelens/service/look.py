"""What a reader does with a picture: the steps of `AgeEstimator.estimate` up to the age model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import load_image
from agelens.pipeline.quality import cut_face
from agelens.types import Detection, Quality


@dataclass(frozen=True, slots=True)
class Look:
    """What a reader does with a picture. `template` and `size` are the age model's."""

    template: NDArray[np.float64]
    size: int
    min_score: float
    max_pixels: int
    max_faces: int


@dataclass(frozen=True, slots=True)
class Found:
    """A picture's faces before the age model: N of them, largest first.

    Attributes:
        width: of the upright picture in pixels.
        height: of the upright picture in pixels.
        detections: N.
        qualities: N.
        crops: RGB uint8 ``[N, size, size, 3]``.
        left_out: how many more were found than the limit allows.
    """

    width: int
    height: int
    detections: tuple[Detection, ...]
    qualities: tuple[Quality, ...]
    crops: NDArray[np.uint8]
    left_out: int


def find_faces(data: bytes, detector: FaceDetector, look: Look) -> Found:
    """Decode a picture, find its faces and cut them out.

    Raises:
        ImageError: the picture is broken, too large or too small.
    """
    pixels = load_image(data, max_pixels=look.max_pixels)
    height, width = pixels.shape[:2]
    found = detector.detect(pixels, min_score=look.min_score)
    kept = found[: look.max_faces]
    crops = np.empty((len(kept), look.size, look.size, 3), np.uint8)
    qualities = []
    for crop, face in zip(crops, kept, strict=True):
        crop[:], quality = cut_face(pixels, face, look.template, look.size)
        qualities.append(quality)
    return Found(width, height, kept, tuple(qualities), crops, len(found) - len(kept))

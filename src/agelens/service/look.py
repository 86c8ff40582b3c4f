"""What a reader does with a picture: the steps of `AgeEstimator.estimate` up to the age model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import load_image
from agelens.pipeline.preprocess import FaceCrops, crop_faces


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
    """A picture's faces before the age model, and how many more there are than the limit."""

    crops: FaceCrops
    left_out: int


def find_faces(data: bytes, detector: FaceDetector, look: Look) -> Found:
    """Decode a picture, find its faces and cut them out.

    Raises:
        ImageError: the picture is broken, too large or too small.
    """
    pixels = load_image(data, max_pixels=look.max_pixels)
    found = detector.detect(pixels, min_score=look.min_score)
    kept = found[: look.max_faces]
    crops = crop_faces(pixels, kept, look.template, look.size)
    return Found(crops, len(found) - len(kept))

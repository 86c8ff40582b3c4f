"""The first step of every estimate: from a picture to crops of its faces that the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.quality import cut_face
from agelens.pipeline.session import Workers
from agelens.types import Detection, Quality


class Detector(Protocol):
    """Anything that finds faces; `agelens.pipeline.detect.FaceDetector`, or one of your own."""

    def detect(self, image: NDArray[np.uint8], *, min_score: float) -> tuple[Detection, ...]:
        """Find the faces of an RGB uint8 picture ``[H, W, 3]``, largest first."""
        ...


@dataclass(frozen=True, slots=True)
class FaceCrops:
    """The N faces of one picture, largest first, ready for the model.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        detections: N, where the faces are.
        qualities: N, how fit each is for an estimate.
        crops: RGB uint8 ``[N, S, S, 3]``, the aligned faces.
    """

    width: int
    height: int
    detections: tuple[Detection, ...]
    qualities: tuple[Quality, ...]
    crops: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.detections)


def crop_faces(
    pixels: NDArray[np.uint8],
    detections: Sequence[Detection],
    template: NDArray[np.float64],
    size: int,
    workers: Workers | None = None,
) -> FaceCrops:
    """Cut known faces out of a picture, aligned, and measure their quality.

    Args:
        pixels: RGB uint8 ``[H, W, 3]``.
        detections: N faces of this picture.
        template: ``[4, 2]``, where eyes, nose and mouth belong, as fractions of the crop's side.
        size: side of a crop in pixels.
        workers: the threads that share the faces; by default the caller's alone.
    """
    height, width = pixels.shape[:2]
    crops = np.empty((len(detections), size, size, 3), np.uint8)

    def cut(number: int) -> Quality:
        crops[number], quality = cut_face(pixels, detections[number], template, size)
        return quality

    numbers = range(len(detections))
    qualities = map(cut, numbers) if workers is None else workers.map(cut, numbers)
    return FaceCrops(width, height, tuple(detections), tuple(qualities), crops)

"""The first step of every estimate: from a picture to crops of its faces that the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import ImageSource, load_image, load_reduced
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
        left_out: how many more faces the picture shows.
    """

    width: int
    height: int
    detections: tuple[Detection, ...]
    qualities: tuple[Quality, ...]
    crops: NDArray[np.uint8]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.detections)


@dataclass(frozen=True, slots=True)
class Searched:
    """A picture, or a reduction of it, and its faces.

    Attributes:
        pixels: RGB uint8 ``[H, W, 3]``.
        size: width and height of the whole picture.
        detections: its faces, largest first, in pixels of the whole picture.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    detections: tuple[Detection, ...]


def find_faces(
    image: ImageSource,
    detector: Detector,
    *,
    min_score: float,
    least_side: int,
    max_pixels: int,
    bgr: bool = False,
) -> Searched:
    """Read a picture and find its faces.

    A large JPEG is decoded with fewer pixels than it has, unless it shows a face that is then
    smaller than the model reads it.

    Args:
        image: as for `agelens.pipeline.images.load_image`.
        detector: that finds the faces; only `FaceDetector` is given a reduction of the picture, and
            not where it looks for a crowd.
        min_score: of a face.
        least_side: of a face in the reduction, in pixels.
        max_pixels: of the whole picture.
        bgr: of an array.

    Raises:
        ImageError: the image is missing, broken, too large or too small.
    """
    if isinstance(detector, FaceDetector) and not detector.crowd:
        pixels, size = load_reduced(image, max_pixels=max_pixels, bgr=bgr)
        found = detector.detect(pixels, min_score=min_score, size=size)
        if not too_small(found, pixels, size, least_side):
            return Searched(pixels, size, found)
        pixels = load_image(image, max_pixels=max_pixels, bgr=bgr)
    else:
        pixels = load_image(image, max_pixels=max_pixels, bgr=bgr)
        found = detector.detect(pixels, min_score=min_score)
    return Searched(pixels, (pixels.shape[1], pixels.shape[0]), found)


def too_small(
    found: Sequence[Detection],
    pixels: NDArray[np.uint8],
    size: tuple[int, int],
    least_side: int,
) -> bool:
    """Whether pixels are a reduction of a picture in which a face is smaller than `least_side`."""
    scale = pixels.shape[1] / size[0]
    return scale < 1 and any(scale * face.box.width < least_side for face in found)


def crop_faces(
    pixels: NDArray[np.uint8],
    detections: Sequence[Detection],
    template: NDArray[np.float64],
    size: int,
    workers: Workers | None = None,
    *,
    whole: tuple[int, int] | None = None,
) -> FaceCrops:
    """Cut known faces out of a picture, aligned, and measure their quality.

    Args:
        pixels: RGB uint8 ``[H, W, 3]``: the picture, or a reduction of it.
        detections: N faces of the picture, in its pixels.
        template: ``[4, 2]``, where eyes, nose and mouth belong, as fractions of the crop's side.
        size: side of a crop in pixels.
        workers: the threads that share the faces; by default the caller's alone.
        whole: width and height of the picture, where `pixels` are a reduction of it.
    """
    width, height = whole = whole or (pixels.shape[1], pixels.shape[0])
    crops = np.empty((len(detections), size, size, 3), np.uint8)

    def cut(number: int) -> Quality:
        crops[number], quality = cut_face(pixels, detections[number], template, size, whole)
        return quality

    numbers = range(len(detections))
    qualities = map(cut, numbers) if workers is None else workers.map(cut, numbers)
    return FaceCrops(width, height, tuple(detections), tuple(qualities), crops)

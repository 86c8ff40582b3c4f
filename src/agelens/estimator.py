"""The serve flow: image -> detect -> align -> model -> faces with ages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agelens.pipeline.calibration import intervals, quantile
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import MAX_PIXELS, ImageSource, load_image
from agelens.pipeline.model import AgeModel
from agelens.pipeline.quality import cut_face
from agelens.types import Detection, Face, Interval, Quality


class Detector(Protocol):
    """Anything that finds faces; `FaceDetector`, or a test's own."""

    def detect(self, image: NDArray[np.uint8], *, min_score: float) -> tuple[Detection, ...]:
        """Find the faces of an RGB uint8 picture ``[H, W, 3]``, largest first."""
        ...


class AgeEstimator:
    """Estimates the age of every face in a picture. Load once, use from any number of threads.

    Args:
        model: "default", the name of a shipped model, or the path of a model file.
        min_score: faces that the detector is less sure of, 0 to 1, are left out.
        max_pixels: larger pictures are refused before they are decoded.
        threads: CPU threads for one picture; 0 takes one for each processor.
        coverage: of the intervals, over 0 and under 1.
        detector: finds the faces; the built-in one by default.

    Raises:
        ModelError: the model file cannot be used.
    """

    def __init__(
        self,
        model: str | Path = "default",
        *,
        min_score: float = 0.5,
        max_pixels: int = MAX_PIXELS,
        threads: int = 0,
        coverage: float = 0.9,
        detector: Detector | None = None,
    ) -> None:
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must lie between 0 and 1, and is {coverage}")
        self.model = AgeModel(model, threads=threads)
        self.detector = detector or FaceDetector(threads=threads)
        self.min_score = min_score
        self.coverage = coverage
        self.max_pixels = max_pixels

    def estimate(self, image: ImageSource) -> tuple[Face, ...]:
        """Estimate ages.

        Args:
            image: a path, the bytes of an image file, a PIL image, or an RGB uint8 array
                ``[H, W, 3]``. Files are turned upright as their EXIF data says.

        Returns:
            The faces, largest first; empty when there is none. Coordinates are pixels of the
            upright picture.

        Raises:
            ImageError: the image is missing, broken, too large or too small.
        """
        pixels = load_image(image, max_pixels=self.max_pixels)
        detections = self.detector.detect(pixels, min_score=self.min_score)
        if not detections:
            return ()
        raw, qualities = self.read(pixels, detections)
        return self.conclude(raw, detections, qualities)

    def read(
        self, pixels: NDArray[np.uint8], detections: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], list[Quality]]:
        """The middle of `estimate`: what the model says of faces, and how good their pictures are.

        Args:
            pixels: RGB uint8 ``[H, W, 3]``.
            detections: at least one, of this picture.

        Returns:
            The model's distributions ``[N, K]`` and N qualities.
        """
        model = self.model

        def cut(found: Detection) -> tuple[NDArray[np.uint8], Quality]:
            return cut_face(pixels, found, model.template, model.size)

        crops, qualities = zip(*model.workers.map(cut, detections), strict=True)
        return model.predict(np.stack(crops)), list(qualities)

    def conclude(
        self,
        distributions: NDArray[np.floating],
        detections: Sequence[Detection],
        qualities: Sequence[Quality],
    ) -> tuple[Face, ...]:
        """The last step of `estimate`: what the model's distributions say of these faces.

        Args:
            distributions: ``[N, K]``, from `AgeModel.predict`, or a mean of several of its rows.
            detections: N, one a face.
            qualities: N, one a face.
        """
        years = np.asarray(self.model.ages, np.float64)
        calibration = self.model.calibration
        calibrated = calibration.calibrated(distributions)
        ages = quantile(calibrated, years, 0.5)
        ends = intervals(calibrated, years, calibration, self.coverage)
        return tuple(
            Face(
                float(age),
                Interval(float(low), float(high), self.coverage),
                found.box,
                found.landmarks,
                found.score,
                quality,
                distribution,
                years,
            )
            for age, (low, high), found, quality, distribution in zip(
                ages, ends, detections, qualities, calibrated, strict=True
            )
        )

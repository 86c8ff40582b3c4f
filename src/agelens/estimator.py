"""The serve flow: image -> preprocess -> predict -> postprocess -> faces with ages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agelens.errors import AgelensError, ImageError, UnreadableImageError
from agelens.faces import Faces
from agelens.files import may_never_end
from agelens.parallel import default_jobs, map_in_order
from agelens.pipeline.calibration import Calibration, intervals, quantile
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.images import (
    MAX_PIXELS,
    SOURCE_TYPES,
    ImageSource,
    describe,
    load_image,
    read_source,
)
from agelens.pipeline.model import AgeModel
from agelens.pipeline.preprocess import Detector, FaceCrops, crop_faces, find_faces
from agelens.pipeline.quality import WIDTH_COVERAGE, with_interval
from agelens.types import Detection, Face, Interval


class AgeEstimator:
    """Estimates the age of every face in a picture. Load once, use from any number of threads.

    `estimate` is three steps, which can also be called one by one: `preprocess`, `predict` and
    `postprocess`. An estimator never changes; it can be pickled (the copy opens the same model
    file again), and closed, as a context or by `close`.

    Args:
        model: the name of a shipped model, the path of a model file, or an open `AgeModel`.
        device: where the networks run: "auto" (a CUDA GPU if ONNX Runtime can use one, else the
            CPU), or one of `agelens.pipeline.session.DEVICES`, such as "cpu", "cuda" or "coreml";
            "cuda:1" is the second GPU.
        threads: CPU threads for one picture; 0 takes one for each processor.
        coverage: of the intervals, over 0 and under 1.
        min_score: faces with a lower detector score, 0 to 1, are left out.
        max_pixels: larger pictures are refused before they are decoded.
        crowd: also find the small faces of a crowd, for about five times the detector's work.
        detector: finds the faces; the built-in one by default.
        calibration: used instead of the model file's own.

    Raises:
        ModelError: the model file cannot be used.
        DeviceError: ONNX Runtime cannot use the device.
    """

    def __init__(
        self,
        model: str | Path | AgeModel = "light",
        *,
        device: str = "auto",
        threads: int = 0,
        coverage: float = 0.9,
        min_score: float = 0.5,
        max_pixels: int = MAX_PIXELS,
        crowd: bool = False,
        detector: Detector | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            "model": model,
            "device": device,
            "threads": threads,
            "coverage": coverage,
            "min_score": min_score,
            "max_pixels": max_pixels,
            "crowd": crowd,
            "detector": detector,
            "calibration": calibration,
        }
        self._coverage, self._min_score = _coverage(coverage), _min_score(min_score)
        self._own: list[AgeModel | FaceDetector] = []  # what `close` closes
        if not isinstance(model, AgeModel):
            model = AgeModel(model, device=device, threads=threads)
            self._own.append(model)
        if detector is None:
            detector = FaceDetector(device=device, threads=threads, crowd=crowd)
            self._own.append(detector)
        self._model, self._detector = model, detector
        self._max_pixels = max_pixels
        self._calibration = calibration or self._model.calibration
        self._closed = False

    @property
    def model(self) -> AgeModel:
        """The model that computes the ages."""
        return self._model

    @property
    def detector(self) -> Detector:
        """What finds the faces."""
        return self._detector

    @property
    def calibration(self) -> Calibration:
        """What corrects the model's distributions and makes the intervals hold."""
        return self._calibration

    @property
    def coverage(self) -> float:
        """Of the intervals, unless a call says otherwise."""
        return self._coverage

    @property
    def min_score(self) -> float:
        """Faces with a lower detector score are left out, unless a call says otherwise."""
        return self._min_score

    @property
    def max_pixels(self) -> int:
        """Larger pictures are refused."""
        return self._max_pixels

    def estimate(
        self,
        image: ImageSource,
        *,
        coverage: float | None = None,
        min_score: float | None = None,
        bgr: bool = False,
    ) -> Faces:
        """Estimate ages.

        Args:
            image: a path, the bytes of an image file, an open binary file, a PIL image, or a uint8
                array ``[H, W, 3]``. Files are turned upright as their EXIF data says.
            coverage: of the intervals, over 0 and under 1; the estimator's by default.
            min_score: least score of a face, 0 to 1; the estimator's by default.
            bgr: the array's channels are blue, green, red, as OpenCV gives them, not RGB.

        Returns:
            The faces, largest first; empty when there is none. Coordinates are pixels of the
            upright picture.

        Raises:
            ImageError: the image is missing, broken, too large or too small.
        """
        self._check_open()
        source = describe(image)
        if _is_stream(image):
            image = read_source(image, source)  # once: `Faces.draw` needs the picture again
        elif isinstance(image, Image.Image) and getattr(image, "is_animated", False):
            image = image.copy()  # of this frame, whichever the caller goes on to
        crops = self.preprocess(image, min_score=min_score, bgr=bgr)
        faces = self.postprocess(self.predict(crops), crops, coverage=coverage)
        return Faces(faces, source, crops.width, crops.height, image=image, bgr=bgr)

    def estimate_many(
        self,
        images: Iterable[ImageSource],
        *,
        jobs: int | None = None,
        coverage: float | None = None,
        min_score: float | None = None,
        bgr: bool = False,
    ) -> Iterator[Faces]:
        """Estimate ages in many pictures, several at once, with bounded memory.

        Args:
            images: anything that `estimate` takes, in any mixture; read as they are needed.
            jobs: pictures at once; one for each processor by default.
            coverage: as for `estimate`.
            min_score: as for `estimate`.
            bgr: as for `estimate`; for every array among the images.

        Yields:
            The result of each image, in their order. One that cannot be read is a result without
            faces whose `Faces.error` says why, and the others go on.
        """
        self._check_open()
        estimate = partial(self._estimate_or_error, coverage=coverage, min_score=min_score, bgr=bgr)
        for _, faces in map_in_order(estimate, images, jobs=jobs or default_jobs()):
            yield faces

    def preprocess(
        self,
        image: ImageSource,
        detections: Sequence[Detection] | None = None,
        *,
        min_score: float | None = None,
        most: int | None = None,
        bgr: bool = False,
    ) -> FaceCrops:
        """The first step of `estimate`: find the faces, and cut them out as the model reads them.

        Args:
            image: as for `estimate`.
            detections: faces of this picture that are known already; by default they are searched.
            min_score: least score of a face that is searched; the estimator's by default.
            most: faces to cut out, the largest; all by default.
            bgr: as for `estimate`.

        Raises:
            ImageError: the image is missing, broken, too large or too small.
        """
        model, whole = self._model, None
        if detections is not None:
            pixels = load_image(image, max_pixels=self._max_pixels, bgr=bgr)
        else:
            searched = find_faces(
                read_source(image, describe(image)) if _is_stream(image) else image,
                self._detector,
                min_score=self._min_score if min_score is None else _min_score(min_score),
                least_side=model.size,
                max_pixels=self._max_pixels,
                bgr=bgr,
            )
            pixels, whole, detections = searched.pixels, searched.size, searched.detections
        kept = detections[:most]
        crops = crop_faces(pixels, kept, model.template, model.size, model.workers, whole=whole)
        return replace(crops, left_out=len(detections) - len(kept))

    def predict(self, crops: FaceCrops) -> NDArray[np.float32]:
        """The second step of `estimate`: what the model says of each face.

        Returns:
            The model's own distributions over ages, not calibrated yet: ``[N, K]``, rows sum to 1.
        """
        return self._model.predict(crops.crops)

    def postprocess(
        self,
        distributions: NDArray[np.floating],
        crops: FaceCrops,
        *,
        coverage: float | None = None,
    ) -> tuple[Face, ...]:
        """The last step of `estimate`: calibrate distributions, and read ages and intervals off.

        Args:
            distributions: ``[N, K]`` from `predict`, or means of several such rows.
            crops: the N faces.
            coverage: of the intervals; the estimator's by default.
        """
        if not len(crops):
            return ()
        coverage = self._coverage if coverage is None else _coverage(coverage)
        years = np.asarray(self._model.ages, np.float64)
        calibrated = self._calibration.calibrated(distributions)
        ages = quantile(calibrated, years, 0.5)
        ends = intervals(calibrated, years, self._calibration, coverage)
        judged = ends
        if coverage != WIDTH_COVERAGE:
            judged = intervals(calibrated, years, self._calibration, WIDTH_COVERAGE)
        widths = judged[:, 1] - judged[:, 0]
        return tuple(
            Face(
                float(age),
                Interval(float(low), float(high), coverage),
                found.box,
                found.landmarks,
                found.score,
                with_interval(quality, float(width)),
                distribution,
                years,
            )
            for age, (low, high), width, found, quality, distribution in zip(
                ages, ends, widths, crops.detections, crops.qualities, calibrated, strict=True
            )
        )

    def close(self) -> None:
        """Let go of the networks and their threads; the estimator cannot be used any more."""
        self._closed = True
        for part in self._own:
            part.close()

    def __enter__(self) -> AgeEstimator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"AgeEstimator({self._model.name!r}, device={self._model.device!r}, "
            f"coverage={self._coverage}, min_score={self._min_score})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._settings,)

    def _check_open(self) -> None:
        if self._closed:
            raise AgelensError("this estimator is closed; make a new one")

    def _estimate_or_error(
        self,
        image: ImageSource,
        *,
        coverage: float | None,
        min_score: float | None,
        bgr: bool,
    ) -> Faces:
        try:
            return self.estimate(image, coverage=coverage, min_score=min_score, bgr=bgr)
        except ImageError as error:
            return Faces((), error.source, error=error)
        except TypeError as error:
            if hasattr(image, "read") or isinstance(image, SOURCE_TYPES):
                raise
            unknown = UnreadableImageError(describe(image), str(error))
            return Faces((), unknown.source, error=unknown)


def _reopened(settings: dict[str, Any]) -> AgeEstimator:
    return AgeEstimator(**settings)


def _is_stream(image: ImageSource) -> TypeGuard[IO[bytes] | str | os.PathLike[str]]:
    """Whether a picture can be read once only: an open file, or a pipe by its path."""
    if isinstance(image, str | os.PathLike):
        return may_never_end(image)
    return hasattr(image, "read")


def _coverage(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"coverage must lie between 0 and 1, and is {value}")
    return value


def _min_score(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"min_score must lie from 0 to 1, and is {value}")
    return value

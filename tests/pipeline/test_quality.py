"""What makes a face's picture doubtful."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agelens import AgeEstimator
from agelens.pipeline.detect import FaceDetector
from agelens.pipeline.quality import (
    MAX_WIDTH,
    MIN_SHARPNESS,
    MIN_TEXTURE,
    sharpness,
    stretch,
    stretch_evidence,
    texture,
    with_interval,
)
from agelens.types import Face, Landmarks, Quality


@pytest.fixture(scope="module")
def grey(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    face = photo[66:177, 170:281]
    return np.asarray(cv2.cvtColor(cv2.resize(face, (128, 128)), cv2.COLOR_RGB2GRAY), np.uint8)


def test_sharpness_by_hand() -> None:
    """Stripes two pixels wide: every Laplacian is as large as the step."""
    stripes = np.tile(np.repeat([100, 200], 2), 32)[None].repeat(128, 0).astype(np.uint8)
    assert sharpness(stripes) == pytest.approx(100 / 50, rel=0.01)
    assert sharpness(np.full((128, 128), 90, np.uint8)) == 0


def test_less_light_is_not_less_sharp(grey: NDArray[np.uint8]) -> None:
    dark = np.rint(grey / 8.0).astype(np.uint8)
    assert sharpness(dark) == pytest.approx(sharpness(grey), rel=0.15)
    soft = cv2.GaussianBlur(grey, (0, 0), 4)
    assert sharpness(soft) < MIN_SHARPNESS < sharpness(dark)
    dark_and_soft = np.rint(soft / 4.0).astype(np.uint8)
    assert sharpness(dark_and_soft) < MIN_SHARPNESS


def test_flat_colours_are_told(grey: NDArray[np.uint8]) -> None:
    drawn = np.asarray(grey // 60 * 60 + 20, np.uint8)
    assert texture(drawn) < MIN_TEXTURE < texture(grey)
    # What has no grey levels between black and white tells nothing.
    assert texture(np.full((128, 128), 255, np.uint8)) == 1
    steps = np.repeat(np.arange(100, 228, 2), 2)[None].repeat(128, 0).astype(np.uint8)
    assert texture(steps) == pytest.approx(1, abs=0.05)  # alike everywhere


def test_the_evidence_of_a_stretch_by_hand() -> None:
    points = [[-1, 0], [1, 0], [0, 1], [0, 2], [-2, 0.5], [2, 0.5]]
    upright = Landmarks.from_array(np.array(points))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = Landmarks.from_array(30 + 7 * np.array(points) @ turn.T)
    for landmarks in (upright, turned):  # 4 across in units of 2, a quarter down, in the middle
        assert stretch_evidence(landmarks) == pytest.approx((1, np.log(2), 0.25, 0))
    wide = Landmarks.from_array(np.array(points) * (1.2, 1))
    assert stretch(wide) > 1.2 * stretch(upright)
    nowhere = Landmarks.from_array(np.zeros((6, 2)))
    assert np.isfinite(stretch(nowhere))


def test_a_stretched_picture_is_told(photo: NDArray[np.uint8]) -> None:
    detector = FaceDetector(threads=1)
    told = {}
    for width in (384, 512, 683):
        (found,) = detector.detect(np.asarray(cv2.resize(photo, (width, 512)), np.uint8))
        told[width] = stretch(found.landmarks)
    assert told[384] < 0.9 * told[512]
    assert told[512] == pytest.approx(1, abs=0.1)
    assert told[683] > 1.15 * told[512]


def test_the_portrait_at_4_to_3_is_doubted(
    estimator: AgeEstimator, photo: NDArray[np.uint8]
) -> None:
    def reasons(picture: NDArray[np.uint8]) -> tuple[str, ...]:
        (face,) = estimator.estimate(picture)
        return face.quality.reasons

    assert reasons(photo) == ()
    assert "stretched" in reasons(np.asarray(cv2.resize(photo, (683, 512)), np.uint8))


def test_an_interval_that_is_of_no_use() -> None:
    quality = Quality(100, 0.2, 0.5, 0.2, 0, 0, 1, 1, ("small",))
    assert with_interval(quality, MAX_WIDTH) is quality
    assert with_interval(quality, MAX_WIDTH + 1).reasons == ("small", "unsure")


def test_doubt_is_of_the_interval_of_90_percent(
    estimator: AgeEstimator, photo: NDArray[np.uint8]
) -> None:
    """However wide the interval is that was asked for."""
    crops = estimator.preprocess(photo)
    sure = estimator.predict(crops)
    nothing = np.full_like(sure, 1 / sure.shape[1])

    def face(distributions: NDArray[np.float32], coverage: float) -> Face:
        return estimator.postprocess(distributions, crops, coverage=coverage)[0]

    for coverage in (0.2, 0.9, 0.99):
        assert face(sure, coverage).quality.reasons == ()
        assert face(nothing, coverage).quality.reasons == ("unsure",)


def test_a_detection_that_is_hardly_sure_is_doubted(
    estimator: AgeEstimator, photo: NDArray[np.uint8]
) -> None:
    (found,) = estimator.detector.detect(photo, min_score=0.5)
    for score, reasons in ((0.5, ("unlike a face",)), (found.score, ())):
        (quality,) = estimator.preprocess(photo, [replace(found, score=score)]).qualities
        assert quality.reasons == reasons

"""Corruptions as pure functions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agelens.evaluation.robustness.corruptions import CORRUPTIONS, corrupt
from agelens.pipeline.detect import FaceDetector
from agelens.types import Detection

Pixels = NDArray[np.uint8]
RESIZING = {"rotation", "tight_crop", "wide_crop"}


@pytest.fixture(scope="module")
def face(photo: Pixels) -> Detection:
    return FaceDetector(threads=1).detect(photo)[0]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(list(CORRUPTIONS)),
    severity=st.integers(1, 5),
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    seed=st.integers(0, 2**32 - 1),
    place=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.2, 1.5)),
    known=st.booleans(),
)
def test_any_picture_stays_one(
    kind: str, severity: int, height: int, width: int, seed: int,
    place: tuple[float, float, float], known: bool, face: Detection,
) -> None:  # fmt: skip
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    before = image.copy()
    there = _moved(face, place[0] * width, place[1] * height, place[2] * min(height, width))
    first, again = (
        corrupt(image, kind, severity, np.random.default_rng(seed), there if known else None)
        for _ in range(2)
    )
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    assert first.size > 0
    if kind not in {*RESIZING, "low_resolution"}:
        assert first.shape == image.shape
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)


def _moved(face: Detection, x: float, y: float, side: float) -> Detection:
    """The astronaut's face elsewhere, in another size."""
    from agelens.types import Box, Landmarks

    corner = np.array([face.box.x1, face.box.y1])
    points = (face.landmarks.to_array() - corner) / face.box.width * side + (x, y) - side / 2
    box = Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Detection(box, Landmarks.from_array(points), face.score)


@pytest.mark.parametrize("kind", sorted(set(CORRUPTIONS) - RESIZING))
def test_each_severity_is_further_from_the_clean_portrait(
    kind: str, photo: Pixels, face: Detection
) -> None:
    distances = [0.0]
    for severity in range(1, 6):
        worse = corrupt(photo, kind, severity, np.random.default_rng(7), face)
        if worse.shape != photo.shape:
            worse = cv2.resize(worse, photo.shape[1::-1])
        distances.append(float(np.abs(worse.astype(float) - photo).mean()))
    assert distances == sorted(distances)
    assert len(set(distances)) == 6


def test_crops_and_turns_frame_the_face_as_they_say(photo: Pixels, face: Detection) -> None:
    rng = np.random.default_rng(0)
    side = face.box.width
    for severity, times in enumerate(CORRUPTIONS["tight_crop"].amounts, 1):
        cut = corrupt(photo, "tight_crop", severity, rng, face)
        assert cut.shape[:2] == pytest.approx((times * side, times * side), abs=1)
    for severity, times in enumerate(CORRUPTIONS["wide_crop"].amounts, 1):
        wide = corrupt(photo, "wide_crop", severity, rng, face)
        assert wide.shape[:2] == pytest.approx((times * side, times * side), abs=1)
        found = FaceDetector(threads=1).detect(wide)[0].box
        assert (found.x1 + found.x2) / 2 == pytest.approx(times * side / 2, abs=0.15 * side)
    sizes = [corrupt(photo, "rotation", severity, rng, face).shape[0] for severity in range(1, 6)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == pytest.approx(photo.shape[0] * 2**0.5, abs=2)


def test_occlusions_hide_the_part_that_they_name(photo: Pixels, face: Detection) -> None:
    parts = face.landmarks
    for kind, hidden, free in (
        ("eyes_hidden", (parts.left_eye, parts.right_eye), (parts.mouth,)),
        ("mouth_hidden", (parts.mouth,), (parts.left_eye, parts.right_eye)),
    ):
        covered = corrupt(photo, kind, 3, np.random.default_rng(0), face)
        changed = (covered != photo).any(axis=2)
        assert all(changed[round(y), round(x)] for x, y in hidden)
        assert not any(changed[round(y), round(x)] for x, y in free)
    half = (corrupt(photo, "half_hidden", 5, np.random.default_rng(0), face) != photo).any(axis=2)
    eyes = [half[round(eye.y), round(eye.x)] for eye in (parts.left_eye, parts.right_eye)]
    assert sorted(eyes) == [False, True]


def test_low_resolution_leaves_a_face_of_so_many_pixels(photo: Pixels, face: Detection) -> None:
    small = corrupt(photo, "low_resolution", 2, np.random.default_rng(0), face)
    found = FaceDetector(threads=1).detect(small)[0]
    assert found.box.width == pytest.approx(48, rel=0.1)
    assert corrupt(small, "low_resolution", 1, np.random.default_rng(0), found) is small

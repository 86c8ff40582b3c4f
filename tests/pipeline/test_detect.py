"""Faces are found where they are, at any size and slight turn; nothing is found where none is."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from conftest import FACE, make_chip
from numpy.typing import NDArray

from agelens.pipeline.detect import FaceDetector
from agelens.types import Box


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(threads=1)


def centre(box: Box) -> tuple[float, float]:
    return (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2


def test_the_astronaut_is_found(detector: FaceDetector, photo: NDArray[np.uint8]) -> None:
    (face,) = detector.detect(photo)
    assert face.score > 0.8
    assert np.abs(np.array([face.box.x1, face.box.y1, face.box.x2, face.box.y2]) - FACE).max() < 12
    marks = face.landmarks
    assert marks.right_eye.x < marks.nose.x < marks.left_eye.x  # her right is the picture's left
    assert marks.right_eye.y < marks.nose.y < marks.mouth.y
    assert marks.right_ear.x < marks.right_eye.x < marks.left_eye.x < marks.left_ear.x


@pytest.mark.parametrize("scale", [0.35, 0.6, 1.7, 4.0])
def test_another_size_gives_the_same_landmarks(
    detector: FaceDetector, photo: NDArray[np.uint8], scale: float
) -> None:
    (face,) = detector.detect(photo)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    other = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=interpolation)
    (again,) = detector.detect(other)
    moved = np.abs(again.landmarks.to_array() / scale - face.landmarks.to_array())
    assert moved.max() < 0.06 * face.box.width


@pytest.mark.parametrize("angle", [-40, -20, 20, 40])
def test_a_turned_head_is_found_upright(
    detector: FaceDetector, photo: NDArray[np.uint8], angle: float
) -> None:
    (face,) = detector.detect(photo)
    matrix = cv2.getRotationMatrix2D((226, 121), angle, 1.0)
    (turned,) = detector.detect(cv2.warpAffine(photo, matrix, (512, 512)))
    expected = face.landmarks.to_array() @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(turned.landmarks.to_array()[:4] - expected[:4]).max() < 0.08 * face.box.width


def test_a_face_that_fills_the_picture_is_found(
    detector: FaceDetector, photo: NDArray[np.uint8]
) -> None:
    (face,) = detector.detect(np.ascontiguousarray(photo[66:177, 170:281]))
    assert face.box.width > 80


def test_small_faces_of_a_large_picture_are_found(
    detector: FaceDetector, photo: NDArray[np.uint8]
) -> None:
    crowd = np.full((1500, 2400, 3), 96, np.uint8)
    corners = [(60, 40), (1100, 700), (2200, 1300), (150, 1250), (2150, 80)]
    for x, y in corners:
        crowd[y : y + 160, x : x + 160] = cv2.resize(photo[40:200, 146:306], (160, 160))
    faces = detector.detect(crowd)
    assert len(faces) == len(corners)
    for x, y in corners:
        away = [np.subtract(centre(face.box), (x + 80, y + 81)) for face in faces]
        assert min(np.hypot(*offset) for offset in away) < 15


def scattered(
    photo: NDArray[np.uint8], width: int, height: int, side: int, count: int
) -> NDArray[np.uint8]:
    """A picture with so many heads, none over another."""
    rng = np.random.default_rng(side)
    way = cv2.INTER_AREA if side < 160 else cv2.INTER_CUBIC
    head = cv2.resize(photo[40:200, 146:306], (side, side), interpolation=way)
    picture, places = np.full((height, width, 3), 96, np.uint8), list[tuple[int, int]]()
    while len(places) < count:
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        if all(abs(x - left) > side or abs(y - top) > side for left, top in places):
            picture[y : y + side, x : x + side] = head
            places.append((x, y))
    return picture


@pytest.mark.parametrize(
    ("width", "height", "sides"),
    [
        (3000, 200, (60, 150, 200)),
        (100, 1500, (40, 80, 100)),
        (640, 60, (30, 60)),
        (9000, 800, (110, 300, 800)),
    ],
)
def test_long_narrow_pictures_are_like_others(
    width: int,
    height: int,
    sides: tuple[int, ...],
    detector: FaceDetector,
    photo: NDArray[np.uint8],
) -> None:
    for side in sides:
        assert len(detector.detect(scattered(photo, width, height, side, 3))) == 3


def test_faces_of_100_pixels_in_24_megapixels(
    detector: FaceDetector, photo: NDArray[np.uint8]
) -> None:
    assert len(detector.detect(scattered(photo, 6000, 4000, 144, 12))) == 12  # heads of 144


def test_a_crowd_is_found_where_it_is_asked_for(
    detector: FaceDetector, photo: NDArray[np.uint8]
) -> None:
    crowd = scattered(photo, 3000, 2000, 14, 20)
    usual = len(detector.detect(crowd))
    assert usual < len(FaceDetector(threads=1, crowd=True).detect(crowd)) == 20


def test_turned_pictures_cost_nothing_where_somebody_is_found(photo: NDArray[np.uint8]) -> None:
    looks: list[tuple[int, ...]] = []
    detector = FaceDetector(threads=1)
    session = detector._session

    class Counting:
        def run(self, names: list[str], feed: dict[str, NDArray[np.uint8]]) -> list[Any]:
            looks.append(feed["images"].shape)
            return list(session.run(names, feed))

    detector._session = Counting()
    upright = np.ascontiguousarray(photo[:300, 80:380])
    (face,) = detector.detect(upright)
    assert len(looks) == 2  # the whole, and the face
    for quarters in (1, 2, 3):
        looks.clear()
        (turned,) = detector.detect(np.ascontiguousarray(np.rot90(upright, quarters)))
        places = turned.landmarks.to_array().view(np.complex128)[:, 0] - (150 + 150j)
        upright_again = (places * 1j**quarters + (150 + 150j))[:, None].view(np.float64)
        assert np.abs(upright_again - face.landmarks.to_array()).max() < 6


@pytest.mark.parametrize("angle", range(60, 301, 30))
@pytest.mark.parametrize("scale", [0.6, 0.7, 0.8, 0.9])
def test_a_turned_face_is_one_face(
    detector: FaceDetector, photo: NDArray[np.uint8], scale: float, angle: float
) -> None:
    # Looked at upright, it may seem to be a larger one around; the other rounds find it as it is.
    matrix = cv2.getRotationMatrix2D((226, 121), angle, scale)
    matrix[:, 2] += 150 - np.array([226, 121])
    picture = cv2.warpAffine(photo, matrix, (300, 300), borderValue=(120, 120, 120))
    (face,) = detector.detect(picture)
    assert abs(complex(*centre(face.box)) - (150 + 150j)) < 0.6 * scale * 110


def test_badly_lit_faces_are_found(detector: FaceDetector, photo: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(5)
    assert all(len(detector.detect(make_chip(photo, rng))) == 1 for _ in range(100))


@pytest.mark.parametrize("width", [641, 854, 1100, 1600])
@pytest.mark.parametrize("height", [480, 900])
def test_no_place_of_a_large_picture_is_overlooked(
    width: int, height: int, detector: FaceDetector, photo: NDArray[np.uint8]
) -> None:
    side = 110
    head = cv2.resize(photo[40:200, 146:306], (side, side), interpolation=cv2.INTER_AREA)
    for x in np.linspace(0, width - side, 6).astype(int):
        for y in np.linspace(0, height - side, 4).astype(int):
            picture = np.full((height, width, 3), 96, np.uint8)
            picture[y : y + side, x : x + side] = head
            (face,) = detector.detect(picture)
            assert np.hypot(*np.subtract(centre(face.box), (x + 55, y + 56))) < 11


def test_faces_come_largest_first(detector: FaceDetector, photo: NDArray[np.uint8]) -> None:
    pair = np.full((512, 900, 3), 128, np.uint8)
    pair[:, 388:] = photo
    pair[100:356, 40:296] = cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)
    sizes = [face.box.width for face in detector.detect(pair)]
    assert len(sizes) == 2
    assert sizes == sorted(sizes, reverse=True)


def test_min_score_leaves_out_unsure_faces(
    detector: FaceDetector, photo: NDArray[np.uint8]
) -> None:
    (face,) = detector.detect(photo)
    assert detector.detect(photo, min_score=face.score - 0.01)
    assert not detector.detect(photo, min_score=face.score + 0.01)


def test_few_smooth_patterns_are_faces(detector: FaceDetector) -> None:
    found = 0
    for seed in range(60):
        grid = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
        pattern = cv2.resize(grid, (320, 320), interpolation=cv2.INTER_CUBIC)
        found += bool(detector.detect(pattern))
    assert found <= 3  # 6 by the second look alone


def test_there_is_no_face_in_noise_or_nothing(
    detector: FaceDetector, photo: NDArray[np.uint8]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    for picture in (noise, np.zeros((300, 400, 3), np.uint8), photo[300:, :200]):
        assert detector.detect(np.ascontiguousarray(picture)) == ()

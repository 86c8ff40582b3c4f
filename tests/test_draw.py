"""What is drawn can be read, says which face it is of, and hides no face."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ASTRONAUT, FACE, agelens
from numpy.typing import NDArray
from PIL import Image, ImageCms

from agelens import AgeEstimator, Face, draw_faces
from agelens.draw import COLOUR, DOUBTFUL
from agelens.types import Box, Landmarks, Point

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def face(photo: Pixels, estimator: AgeEstimator) -> Face:
    return estimator.estimate(photo)[0]


def moved(face: Face, x: float, y: float, side: float) -> Face:
    """The same face elsewhere: its box has this corner and side."""
    scale = side / face.box.height
    points = [
        Point(x + (px - face.box.x1) * scale, y + (py - face.box.y1) * scale)
        for px, py in face.landmarks.to_array()
    ]
    return replace(face, box=Box(x, y, x + side, y + side), landmarks=Landmarks(*points))


def labels(drawn: Pixels, letters: float) -> list[tuple[int, int, int, int]]:
    """Left, top, right, bottom of each text on a black picture, by its dark letters."""
    brightest = drawn.max(axis=2)
    ink = ((brightest > 0) & (brightest < 140)).astype(np.uint8)
    side = round(letters) | 1
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((side, side)))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined.astype(np.uint8))
    return [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:count].tolist()]


def apart(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize(
    ("width", "height", "places"),
    [
        (512, 512, [(170, 66, 111)]),
        (512, 512, [(170, 0, 111)]),  # no room above
        (512, 512, [(0, 0, 200), (312, 312, 200)]),
        (640, 480, [(20 + 150 * k, 200 + 3 * k, 90) for k in range(4)]),
        (640, 480, [(60, 120, 100), (62, 236, 100), (60, 352, 100)]),  # one below the other
        (300, 200, [(130, 90, 30)]),
        (3000, 3000, [(900, 700, 1400)]),
        (4000, 3000, [(500, 500, 60), (2500, 600, 80)]),
    ],
)
def test_labels_lie_beside_faces_and_never_over_one(
    face: Face, width: int, height: int, places: list[tuple[int, int, int]]
) -> None:
    faces = [moved(face, *place) for place in places]
    drawn = draw_faces(np.zeros((height, width, 3), np.uint8), faces)
    found = labels(drawn, max(11, max(width, height) / 75, max(side for *_, side in places) / 8))
    assert len(found) == len(faces)
    for label in found:
        for one in faces:
            assert apart(label, (one.box.x1, one.box.y1, one.box.x2, one.box.y2))
        # Brackets are as high as letters: legible when the whole picture is shown 800 pixels wide.
        assert label[3] - label[1] >= 9 * max(1, width / 800)
    assert all(apart(one, other) for one, other in combinations(found, 2))


def test_a_label_grows_with_the_face_and_stays_smaller_than_it(face: Face) -> None:
    heights = []
    for side in (100, 400, 1200, 2800):
        drawn = draw_faces(np.zeros((3000, 3000, 3), np.uint8), [moved(face, 90, 150, side)])
        (label,) = labels(drawn, max(40, side / 8))
        heights.append(label[3] - label[1])
    assert heights == sorted(heights)
    assert heights[-1] > 3 * heights[0]


def test_where_there_is_no_room_eyes_and_mouth_stay_free(photo: Pixels, face: Face) -> None:
    x1, y1, x2, y2 = FACE
    close = photo[y1:y2, x1:x2]
    one = moved(face, 2, 2, x2 - x1 - 4)
    drawn = draw_faces(close, [one])
    points = one.landmarks.to_array()[:4]
    (left, top), (right, bottom) = points.min(axis=0).astype(int), points.max(axis=0).astype(int)
    np.testing.assert_array_equal(drawn[top:bottom, left:right], close[top:bottom, left:right])
    assert drawn.shape == close.shape
    assert (drawn == COLOUR).all(axis=2).sum() > 4 * drawn.shape[0]  # more than the box


@pytest.mark.parametrize("side", [9, 16, 30])
def test_a_picture_smaller_than_a_label_is_drawn_on_all_the_same(face: Face, side: int) -> None:
    drawn = draw_faces(np.zeros((side, side, 3), np.uint8), [moved(face, -3, -2, side + 5)])
    assert drawn.shape == (side, side, 3)
    assert drawn.any()


def test_the_number_is_the_one_of_the_rows(face: Face) -> None:
    ground = np.zeros((300, 300, 3), np.uint8)
    one = moved(face, 100, 100, 100)
    drawn = [draw_faces(ground, [one], [number]) for number in (1, 1, 7)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    np.testing.assert_array_equal(drawn[0], draw_faces(ground, [one]))
    assert not ground.any()  # the caller's picture is left alone


def test_what_is_doubtful_is_drawn_as_doubtful(face: Face) -> None:
    ground = np.zeros((300, 300, 3), np.uint8)
    sure = moved(face, 100, 100, 100)
    quality = replace(face.quality, reasons=("blurred",))
    doubtful = replace(sure, quality=quality)
    drawn = draw_faces(ground, [doubtful])
    assert (drawn == DOUBTFUL).all(axis=2).any()
    assert not (drawn == COLOUR).all(axis=2).any()
    lower = draw_faces(ground, [sure])[199, 100:200], drawn[199, 100:200]
    coloured = [float((line > 0).any(axis=1).mean()) for line in lower]
    assert coloured[0] == 1
    assert 0.3 < coloured[1] < 0.7  # dashed


def test_a_saved_copy_keeps_profile_and_time_and_is_upright(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0132] = "2026:11:29 03:03:00"
    exif.get_ifd(0x8769)[0x9003] = "2020:02:02 02:02:02"
    exif.get_ifd(0x8825)[1] = "N"
    with Image.open(ASTRONAUT) as image:
        turned = image.crop((0, 0, 512, 400)).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "a.jpg", quality=95, exif=exif, icc_profile=profile)
    done = agelens("predict", folder, "--save", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO((tmp_path / "out" / "a.jpg").read_bytes())) as copy:
        assert copy.size == (512, 400)
        assert copy.info["icc_profile"] == profile
        kept = copy.getexif()
        assert kept.get(0x0112, 1) == 1
        assert kept[0x0132] == "2026:11:29 03:03:00"
        assert kept.get_ifd(0x8769)[0x9003] == "2020:02:02 02:02:02"
        assert 0x8825 not in kept  # where it was taken is not in the copy

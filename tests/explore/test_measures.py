"""Measures of pictures against worked examples."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agelens.explore.measures import (
    contrast,
    cut_off_fraction,
    effective_side,
    flatness,
    lettering,
    mean_colour,
    roll,
    sharpness,
    yaw,
)
from agelens.types import Landmarks

# A face in the middle of a 100 x 100 picture: eyes, nose, mouth, ears.
POINTS = np.array([[35, 40], [65, 40], [50, 55], [50, 70], [20, 45], [80, 45]], float)
TEMPLATE = POINTS[:4] / 100


def turned(degrees: float) -> Landmarks:
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Landmarks.from_array((POINTS - 50) @ matrix.T + 50)


def test_contrast_and_sharpness_by_hand() -> None:
    flat = np.full((40, 40), 90, np.uint8)
    halves = np.repeat(np.array([[0, 255]], np.uint8), 20, 1).repeat(40, 0)
    assert contrast(flat) == sharpness(flat) == 0
    assert contrast(halves) == pytest.approx(0.5)
    blurred = cv2.GaussianBlur(halves, (9, 9), 3)
    assert 0 < sharpness(blurred) < sharpness(halves)


@pytest.mark.parametrize("side", [24, 48, 96])
def test_the_side_before_enlarging_is_found(photo: NDArray[np.uint8], side: int) -> None:
    face = cv2.cvtColor(photo[60:260, 120:320], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (200, 200), interpolation=cv2.INTER_CUBIC)
    assert side * 0.6 <= effective_side(enlarged) <= side * 1.35
    assert effective_side(enlarged) < effective_side(face)


def test_mean_colour_says_which_cast() -> None:
    grey = np.full((8, 8, 3), 128, np.uint8)
    assert mean_colour(grey) == pytest.approx((0, 0), abs=0.5)
    red, blue = (
        np.full((8, 8, 3), colour, np.uint8) for colour in ((180, 100, 100), (90, 90, 190))
    )
    assert mean_colour(red)[0] > 10
    assert mean_colour(blue)[1] < -10


@pytest.mark.parametrize("degrees", [-30.0, 0.0, 12.0])
def test_roll_is_the_turn_of_the_eyes(degrees: float) -> None:
    assert roll(turned(degrees)) == pytest.approx(degrees, abs=1e-6)
    assert yaw(turned(degrees)) == pytest.approx(0, abs=1e-6)


def test_yaw_follows_the_nose() -> None:
    moved = POINTS.copy()
    moved[2, 0] += 10
    right = yaw(Landmarks.from_array(moved))
    moved[2, 0] -= 20
    assert right == pytest.approx(-yaw(Landmarks.from_array(moved)))
    assert 5 < right < 30


def test_cut_off_fraction_by_hand() -> None:
    whole = Landmarks.from_array(POINTS)
    assert cut_off_fraction(whole, TEMPLATE, 100, 100) == pytest.approx(0, abs=1e-6)
    assert cut_off_fraction(whole, TEMPLATE, 100, 75) == pytest.approx(0.25, abs=1e-6)
    away = Landmarks.from_array(POINTS - [40, 0])
    assert cut_off_fraction(away, TEMPLATE, 100, 100) == pytest.approx(0.4, abs=1e-6)


def test_lettering_sees_letters_outside_the_face_only() -> None:
    plain = np.full((200, 200), 128, np.uint8)
    written = cv2.putText(plain.copy(), "(c) somebody", (5, 190), 0, 0.8, 255, 1)
    box = np.array([0.0, 0.0, 200.0, 150.0])
    assert lettering(plain, box) == 0
    assert lettering(written, box) > 0.02
    assert lettering(written, np.array([0.0, 150.0, 200.0, 200.0])) == 0
    assert flatness(plain) == 1
    assert 0.8 < flatness(written) < 1

"""Alignment: the fit is the least-squares one, and a crop does not depend on the picture's size."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agelens.pipeline.align import align_face, fit_similarity, warp
from agelens.types import Landmarks

TEMPLATE = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.53], [0.5, 0.7]])
finite = st.floats(-100, 100)
points = st.lists(st.tuples(finite, finite), min_size=4, max_size=6)


def apply(matrix: NDArray[np.float64], where: NDArray[np.float64]) -> NDArray[np.float64]:
    return where @ matrix[:, :2].T + matrix[:, 2]


@given(points, st.floats(0.1, 10), st.floats(-3, 3), finite, finite)
def test_a_similarity_is_recovered(
    where: list[tuple[float, float]], scale: float, angle: float, x: float, y: float
) -> None:
    source = np.array(where)
    if np.ptp(source, axis=0).max() < 1:
        return
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    truth = np.column_stack([turn, (x, y)])
    np.testing.assert_allclose(fit_similarity(source, apply(truth, source)), truth, atol=1e-5)


@given(st.integers(0, 10_000))
def test_no_other_similarity_fits_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(2, 5, 2))
    best = fit_similarity(source, target)

    def error(matrix: NDArray[np.float64]) -> float:
        return float(((apply(matrix, source) - target) ** 2).sum())

    a, b, x, y = rng.normal(0, 0.05, 4)
    other = best + np.array([[a, -b, x], [b, a, y]])
    assert error(best) <= error(other) + 1e-12


def test_points_that_coincide_are_refused() -> None:
    with pytest.raises(ValueError, match="coincide"):
        fit_similarity(np.ones((4, 2)), TEMPLATE)


def test_identity_gives_the_picture(photo: NDArray[np.uint8]) -> None:
    square = photo[:512, :512]
    np.testing.assert_array_equal(warp(square, np.eye(2, 3), (512, 512), reflect=True), square)


def test_halving_is_area_averaging(photo: NDArray[np.uint8]) -> None:
    half = warp(photo, np.array([[0.5, 0, 0], [0, 0.5, 0]]), (256, 256), reflect=True)
    expected = cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - expected).max() <= 1


@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.floats(0.02, 1),
    st.floats(-0.2, 1.2),
    st.floats(-0.2, 1.2),
    st.floats(-1, 1),
)
@example(384, 768, 0.0234375, 0.0, 0.0, 0.0)  # whose rounding all goes one way
@settings(max_examples=200, deadline=None)
def test_a_slope_stays_where_it_was(
    width: int, height: int, scale: float, x: float, y: float, angle: float
) -> None:
    """However it is reduced, and however much of it lies outside: the border stays in its place."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    slope = 30 + 0.12 * columns + 0.1 * rows
    picture = np.repeat(np.rint(slope).astype(np.uint8)[..., None], 3, axis=2)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, 24 - turn @ (x * width, y * height)])
    crop = warp(picture, matrix, (48, 48), reflect=False)[..., 0].astype(float)
    pixels = np.stack(np.meshgrid(np.arange(48), np.arange(48)), -1).reshape(-1, 2) + 0.5
    where = apply(
        np.column_stack([np.linalg.inv(turn), np.linalg.solve(turn, -matrix[:, 2])]), pixels
    )
    edge = 0.8 / scale + 1  # less than a pixel of the crop may be lost there
    inside = ((where > edge) & (where < np.array([width, height]) - edge)).all(axis=1)
    expected = 30 + where @ (0.12, 0.1)
    rounding = 1 + 0.25 * math.floor(-math.log2(scale))  # of grey levels, again at each halving
    assert np.abs(crop.ravel() - expected)[inside].max(initial=0) <= rounding
    outside = ((where < -edge) | (where > np.array([width, height]) + edge)).any(axis=1)
    assert crop.ravel()[outside].max(initial=0) == 0


LANDMARKS = Landmarks.from_array(
    np.array([[203.0, 109], [242, 105], [229, 128], [228, 148], [180, 120], [260, 112]])
)


def test_landmarks_land_on_the_template(photo: NDArray[np.uint8]) -> None:
    dots = np.zeros_like(photo)
    exact = (TEMPLATE - 0.5) * 130 + (224, 128)
    for x, y in exact:
        cv2.circle(dots, (int((x - 0.5) * 16), int((y - 0.5) * 16)), 48, (255, 255, 255), -1, 16, 4)
    crop = align_face(dots, Landmarks.from_array(np.vstack([exact, exact[:2]])), TEMPLATE, 128)
    _, _, _, centres = cv2.connectedComponentsWithStats((crop[..., 0] > 60).astype(np.uint8))
    found = np.sort(centres[1:].round(0), axis=0)
    assert np.abs(found + 0.5 - np.sort(TEMPLATE * 128, axis=0)).max() < 1.2


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_larger_copy_of_the_picture_gives_the_same_crop(
    photo: NDArray[np.uint8], times: int
) -> None:
    large = np.repeat(np.repeat(photo, times, 0), times, 1)
    scaled = Landmarks.from_array(LANDMARKS.to_array() * times)
    crop = align_face(photo, LANDMARKS, TEMPLATE, 64).astype(int)
    other = align_face(large, scaled, TEMPLATE, 64).astype(int)
    assert np.abs(crop - other).mean() < 2  # of 255; half a pixel of shift makes 5


def test_a_margin_adds_a_border_around_the_same_crop(photo: NDArray[np.uint8]) -> None:
    crop = align_face(photo, LANDMARKS, TEMPLATE, 128)
    wide = align_face(photo, LANDMARKS, TEMPLATE, 128, margin=0.125)
    assert wide.shape == (160, 160, 3)
    assert np.abs(wide[16:-16, 16:-16].astype(int) - crop).mean() < 1.5


def test_a_face_at_the_border_is_mirrored_not_blackened(photo: NDArray[np.uint8]) -> None:
    cut = np.ascontiguousarray(photo[100:160, 195:250])
    moved = Landmarks.from_array(LANDMARKS.to_array() - (195, 100))
    crop = align_face(cut, moved, TEMPLATE, 128)
    assert (crop.max(axis=2) > 0).mean() > 0.99

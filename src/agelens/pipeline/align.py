"""From landmarks to the upright crop that the model was trained on.

Training crops and served crops come from `align_face`; nothing else makes a crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens.types import Landmarks

ALIGNMENT_POINTS = 4
"""How many landmarks define the alignment: both eyes, nose and mouth. Ears are too often hidden."""


def fit_similarity(
    source: NDArray[np.floating], target: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that best take `source` to `target`.

    Least squares without reflection (Umeyama, TPAMI 1991). In the plane, with points as complex
    numbers, the solution is one division.

    Args:
        source: points ``[N, 2]``, N >= 2, not all equal.
        target: points ``[N, 2]``.

    Returns:
        ``[2, 3]`` affine matrix.

    Raises:
        ValueError: when all source points coincide.
    """
    z = np.asarray(source, np.float64) @ (1, 1j)
    w = np.asarray(target, np.float64) @ (1, 1j)
    centred = z - z.mean()
    spread = float(np.vdot(centred, centred).real)
    if spread == 0:
        raise ValueError("the points to align all coincide")
    turn = np.vdot(centred, w - w.mean()) / spread
    shift = w.mean() - turn * z.mean()
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float64
    )


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int], *, reflect: bool
) -> NDArray[np.uint8]:
    """Resample a rectangle of the picture, without aliasing at any scale.

    The part of the picture that is needed is first reduced by area averaging to the crop's scale,
    then warped bilinearly, so a face of 2000 pixels and one of 200 give like crops.

    Args:
        image: RGB uint8 ``[H, W, 3]``.
        matrix: ``[2, 3]`` similarity, picture pixels to crop pixels (corners at whole numbers).
        size: width and height of the crop in pixels.
        reflect: mirror the picture past its border; black otherwise.

    Returns:
        RGB uint8 ``[height, width, 3]``.
    """
    # In Python's own numbers: on so few, numpy takes longer than OpenCV for the picture.
    turn, shift = complex(matrix[0, 0], matrix[1, 0]), complex(matrix[0, 2], matrix[1, 2])
    scale = abs(turn)
    height, width = image.shape[:2]
    x0 = y0 = 0
    factor_x = factor_y = 1.0
    if scale < 1:
        right, low = size
        quad = [(corner - shift) / turn for corner in (0, right, 1j * low, complex(right, low))]
        halvings = math.floor(-math.log2(scale))
        across, down = [corner.real for corner in quad], [corner.imag for corner in quad]
        x0, x1, halvings = _halved(*_span(across, width, pad=2 / scale), width, halvings)
        y0, y1, halvings = _halved(*_span(down, height, pad=2 / scale), height, halvings)
        new_width = max(1, round((x1 - x0) * scale))
        new_height = max(1, round((y1 - y0) * scale))
        image = _reduced(image[y0:y1, x0:x1], new_width, new_height, halvings)
        factor_x, factor_y = (x1 - x0) / new_width, (y1 - y0) / new_height
        shift += turn * complex(x0, y0)
    # OpenCV puts whole numbers at pixel centres; agelens at their corners.
    shift += turn * complex(factor_x, factor_y) / 2 - (0.5 + 0.5j)
    to_crop = np.array(
        [
            [turn.real * factor_x, -turn.imag * factor_y, shift.real],
            [turn.imag * factor_x, turn.real * factor_y, shift.imag],
        ]
    )
    border = cv2.BORDER_REFLECT_101 if reflect else cv2.BORDER_CONSTANT
    crop = cv2.warpAffine(image, to_crop, size, flags=cv2.INTER_LINEAR, borderMode=border)
    return crop  # type: ignore[return-value]


def align_face(
    image: NDArray[np.uint8],
    landmarks: Landmarks,
    template: NDArray[np.floating],
    size: int,
    *,
    margin: float = 0.0,
) -> NDArray[np.uint8]:
    """Cut the face out, upright and at the model's scale.

    Args:
        image: RGB uint8 ``[H, W, 3]``.
        landmarks: of one face in this picture.
        template: ``[4, 2]``, where eyes, nose and mouth belong, as fractions of the crop's side.
        size: side in pixels of the crop that the model reads.
        margin: extra border on each side, as a fraction of `size`, at the same scale; training
            keeps some so that its rotations and shifts have real pixels to bring in.

    Returns:
        RGB uint8 ``[S, S, 3]`` with S = size + 2 * round(margin * size).
    """
    extra = round(margin * size)
    target = np.asarray(template, np.float64) * size + extra
    matrix = fit_similarity(landmarks.to_array()[:ALIGNMENT_POINTS], target)
    side = size + 2 * extra
    return warp(image, matrix, (side, side), reflect=True)


def _reduced(image: NDArray[np.uint8], width: int, height: int, halvings: int) -> NDArray[np.uint8]:
    """The picture by area averaging; by halves first, which OpenCV is faster at."""
    for _ in range(halvings):
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _span(values: Sequence[float], length: int, pad: float) -> tuple[int, int]:
    """The pixels of one axis that a warp needs, those that a reflection shows included."""
    low, high = min(values) - pad, max(values) + pad
    reflected_low, reflected_high = 2 * length - high, -low  # what mirrors into the crop
    start = max(0, math.floor(min(low, reflected_low)))
    stop = min(length, math.ceil(max(high, reflected_high)))
    start = min(start, length - 1)
    return start, max(stop, start + 1)


def _halved(start: int, stop: int, length: int, halvings: int) -> tuple[int, int, int]:
    """A span that divides by 2 so many times, or as often as it can without losing the border.

    What is cut off for it is less than the pad of `_span`.
    """
    halvings = min(halvings, (stop - start).bit_length() - 1)
    spare = (stop - start) % 2**halvings
    if start > 0:
        return start + spare, stop, halvings
    if stop < length:
        return start, stop - spare, halvings
    return start, stop, min(halvings, (length & -length).bit_length() - 1)

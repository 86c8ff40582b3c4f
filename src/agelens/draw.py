"""Boxes and ages on a picture; and a face that nobody has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agelens.types import Face

COLOUR = (255, 176, 0)
"""RGB of boxes and labels: amber, told apart from skin by colour-blind people too."""
DOUBTFUL = (203, 207, 212)
"""RGB where something is known to make the estimate worse; the box is dashed, too."""
INK = (20, 20, 20)
SMALLEST, LARGEST = 11, 240
"""Pixels of a label's letters."""

_SKIN, _SHADE, _HAIR = (214, 170, 140), (165, 115, 95), (60, 42, 30)
_OVALS = (
    (320, 700, 260, 160, 0, 360, -1, (70, 80, 120)),  # shoulders
    (320, 500, 50, 90, 0, 360, -1, _SHADE),  # neck
    (320, 270, 150, 185, 0, 360, -1, _HAIR),
    (320, 320, 125, 165, 0, 360, -1, _SKIN),
    *((x, 290, 26, 13, 0, 360, -1, (240, 240, 240)) for x in (265, 375)),  # eyes
    *((x, 290, 12, 12, 0, 360, -1, _HAIR) for x in (265, 375)),
    *((x, 262, 34, 10, 180, 360, 7, _HAIR) for x in (265, 375)),  # brows
    (320, 355, 24, 14, 20, 160, 6, _SHADE),  # nose
    (320, 408, 44, 16, 0, 360, -1, (170, 85, 85)),  # mouth
)
"""Centre, half axes, start and end in degrees, thickness (-1: filled), colour."""

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are outside."""


@dataclass(frozen=True, slots=True)
class _Label:
    """A text, the size of its letters, and its place."""

    text: str
    size: int
    place: Rectangle


def draw_faces(
    image: NDArray[np.uint8], faces: Sequence[Face], numbers: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """A copy of the picture with every face's box, and beside it a label, ``2: 34 (28-41)``.

    That is the face's number, its age and its interval. A label lies over no face and no other
    label where the picture has room for that, and is shortened before it does. A face with faults
    (`Quality.reasons`) has a dashed grey box and a question mark after its age.

    Args:
        image: RGB uint8 ``[H, W, 3]``.
        faces: with coordinates in this picture.
        numbers: of the faces; 1, 2, ... by default, as in `Faces.to_rows`.

    Returns:
        RGB uint8 ``[H, W, 3]``.
    """
    drawn = image.copy()
    height, width = image.shape[:2]
    features = [_features(face) for face in faces]
    boxes = [_inside(face, width, height) for face in faces]
    sizes = [_letter_size(face, width, height) for face in faces]
    for face, box, size in zip(faces, boxes, sizes, strict=True):
        _draw_box(drawn, box, max(1, round(size / 9)), face.quality.good)
    occupied = [*boxes, *features]
    for index, number in enumerate(numbers or range(1, len(faces) + 1)):
        face = faces[index]
        label = _place(face, number, boxes[index], sizes[index], (width, height), occupied)
        occupied.append(label.place)
        _draw_label(drawn, label, COLOUR if face.quality.good else DOUBTFUL)
    return drawn


def _inside(face: Face, width: int, height: int) -> Rectangle:
    box = face.box
    left, top = min(max(0, round(box.x1)), width - 1), min(max(0, round(box.y1)), height - 1)
    right, bottom = (
        max(left + 1, min(width, round(box.x2))),
        max(top + 1, min(height, round(box.y2))),
    )
    return left, top, right, bottom


def _features(face: Face) -> Rectangle:
    """Eyes to mouth, which count once more than the rest of the face where all cannot stay free."""
    points = face.landmarks.to_array()[:4]
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    margin = 0.1 * face.box.height
    return round(left), round(top - margin), round(right), round(bottom + margin)


def _letter_size(face: Face, width: int, height: int) -> int:
    """By the face, and large enough for a picture that is shown smaller than it is."""
    least = max(SMALLEST, max(width, height) / 75)
    return round(min(LARGEST, max(least, face.box.height / 8)))


def _draw_box(image: NDArray[np.uint8], box: Rectangle, line: int, good: bool) -> None:
    left, top, right, bottom = box
    dash = 6 * line
    for edge in (
        image[top : top + line, left:right], image[max(top, bottom - line) : bottom, left:right],
        image[top:bottom, left : left + line].swapaxes(0, 1),
        image[top:bottom, max(left, right - line) : right].swapaxes(0, 1),
    ):  # fmt: skip
        if good:
            edge[:] = COLOUR
        else:
            edge[:, np.arange(edge.shape[1]) % (2 * dash) < dash] = DOUBTFUL


def _place(
    face: Face,
    number: int,
    box: Rectangle,
    size: int,
    picture: tuple[int, int],
    occupied: Sequence[Rectangle],
) -> _Label:
    """The longest text that has room beside its face, or else the one that covers least."""
    age = f"{face.age:.0f}" + ("" if face.quality.good else "?")
    whole = f"{number}: {age} ({face.interval.low:.0f}-{face.interval.high:.0f})"
    best: tuple[int, _Label] | None = None
    least = min(SMALLEST, max(7, picture[1] // 4))
    for text, letters in (
        (whole, size), (whole, max(least, size * 2 // 3)),
        (f"{number}: {age}", size), (f"{number}: {age}", least), (age, least),
    ):  # fmt: skip
        width, height = _measure(text, letters)
        if width > picture[0] or height > picture[1]:
            continue
        for place in _places(box, width, height, picture):
            covered = sum(_overlap(place, other) for other in occupied)
            if best is None or covered < best[0]:
                best = covered, _Label(text, letters, place)
            if not covered:
                return best[1]
    if best is None:  # not even a number fits: as much of it as there is
        width, height = _measure(age, least)
        return _Label(age, least, (0, 0, width, height))
    return best[1]


def _places(
    box: Rectangle, width: int, height: int, picture: tuple[int, int]
) -> Iterator[Rectangle]:
    """Places near a box: above, below, and at its sides; then the picture's edges."""
    left, top, right, bottom = box
    across = (left, right - width, (left + right - width) // 2)
    down = (top, bottom - height, (top + bottom - height) // 2)
    beside = [(x, y) for y in (top - height, bottom) for x in across]
    beside += [(x, y) for x in (right, left - width) for y in down]
    edges = [(x, y) for y in (0, picture[1] - height) for x in across]
    for x, y in (*beside, *edges):
        x, y = (min(max(0, x), picture[0] - width), min(max(0, y), picture[1] - height))
        yield x, y, x + width, y + height


def _overlap(one: Rectangle, other: Rectangle) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


@lru_cache(maxsize=256)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _measure(text: str, size: int) -> tuple[int, int]:
    """Width and height in pixels of a label, its margin included."""
    return round(_font(size).getlength(text)) + 2 * _margin(size), size + 2 * _margin(size)


def _margin(size: int) -> int:
    return max(2, round(size / 5))


def _draw_label(image: NDArray[np.uint8], label: _Label, colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = label.place
    patch = Image.new("RGB", (right - left, bottom - top), colour)
    middle = ((right - left) / 2, (bottom - top) / 2)
    ImageDraw.Draw(patch).text(middle, label.text, INK, _font(label.size), anchor="mm")
    view = image[top:bottom, left:right]
    view[:] = np.asarray(patch)[: view.shape[0], : view.shape[1]]


def draw_face(path: Path) -> str:
    """Draw a face that the detector finds with a score of 0.8, so that every step has its work.

    Its age means nothing. Nobody's photo need be inside the package.

    Args:
        path: of a JPEG to write, 640 x 640 pixels.
    """
    picture = np.full((640, 640, 3), (150, 165, 180), np.uint8)
    for *oval, start, end, line, colour in _OVALS:
        x, y, width, height = oval
        cv2.ellipse(picture, (x, y), (width, height), 0, start, end, colour, line, cv2.LINE_AA)
    Image.fromarray(cv2.GaussianBlur(picture, (0, 0), 2)).save(path, "JPEG", quality=90)
    return str(path)

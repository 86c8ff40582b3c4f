"""Where faces are looked for in a picture: rectangles of it, as a detector's network sees them.

Nothing here depends on the network but the sides of the views.

The whole picture is looked at; parts of large pictures, because small faces are lost in the whole;
and a long narrow picture piece by piece, each as if it were a picture. Where no face is sure, the
picture is looked at with a border around, with a wider one, and then upside down and on its sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

UNIT = 32
"""The sides of a view are multiples of this, in pixels of the view."""
COARSE_VIEW = 128
"""Longer side in pixels of the view of the whole picture."""
BORDERS = (0.25, 1.0)
"""Around the whole picture, in its longer sides, one after the other where no face is sure without:
they show faces that are cut off on all sides."""
TILE_SIDE, TILE_VIEW = 640, 160
"""Pictures with a longer side than the first, in pixels, are also searched in tiles. Those are
scaled by the second over the first, or by less where there would be more than `MAX_TILES`."""
CROWD_SIDE = 320
"""The same for crowds, besides the others: faces of half the size are found."""
LONGEST_TILE = 256
"""In pixels of the view."""
MAX_TILES, MAX_CROWD_TILES = 36, 144
NARROW = 3
"""Pictures with a longer side of more than so many shorter ones are searched in strips, too."""
LONGEST_STRIP = 384
"""In pixels of the view."""


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of the picture, turned: what the network sees.

    Places and directions are complex numbers, x + iy.

    Attributes:
        centre: in the picture.
        turn: what directions in the picture are multiplied by to be those in the view. Its size is
            the scale, in pixels of the view per pixel of the picture.
        size: width and height in pixels of the view.
    """

    centre: complex
    turn: complex
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixels of the view per pixel of the picture."""
        return abs(self.turn)


class Pyramid:
    """A picture and reductions of it, by area: a view is sampled from the smallest that is larger.

    Each level has its horizontal and vertical scale, which differ by rounding, and its pixels.

    Args:
        image: RGB uint8 ``[H, W, 3]``.
        size: width and height of the picture, where `image` is a reduction of it already.
    """

    def __init__(self, image: NDArray[np.uint8], size: tuple[int, int]) -> None:
        height, width = image.shape[:2]
        self._levels = [(width / size[0], height / size[1], image)]

    def halve(self, scale: float) -> None:
        """Halve the smallest reduction until half of it were below a scale."""
        across, down, image = self._levels[-1]
        while scale <= across / 2 and min(image.shape[:2]) > 1:
            height, width = (length // 2 for length in image.shape[:2])
            image, across, down = image[: 2 * height, : 2 * width], across / 2, down / 2
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            self._levels.append((across, down, image))

    def reduce(self, scale: float) -> None:
        """Add the picture at just this scale, for views of large parts of it."""
        self.halve(scale)
        across, down, image = self._levels[-1]
        height, width = image.shape[:2]
        size = max(1, round(width * scale / across)), max(1, round(height * scale / down))
        if scale < across and size != (width, height):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            self._levels.append((across * size[0] / width, down * size[1] / height, image))

    def pixels(self, view: View) -> NDArray[np.uint8]:
        """What a view shows, ``[height, width, 3]``; black beside the picture."""
        enough = [level for level in self._levels if level[0] >= 0.98 * view.scale]
        across, down, image = enough[-1] if enough else self._levels[0]
        turn = view.turn
        # OpenCV puts whole numbers at pixel centres; agelens at their corners.
        middle = complex(0.5 / across, 0.5 / down)
        shift = complex(*view.size) / 2 - turn * (view.centre - middle) - (0.5 + 0.5j)
        matrix = np.array(
            [
                [turn.real / across, -turn.imag / down, shift.real],
                [turn.imag / across, turn.real / down, shift.imag],
            ]
        )
        return cv2.warpAffine(image, matrix, view.size, flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def rounds(
    width: int, height: int, *, crowd: bool = False, turned: bool = True
) -> Iterator[list[View]]:
    """The views of a picture, round by round: the next only when no face in those before is sure.

    Args:
        width: of the picture, in pixels.
        height: likewise.
        crowd: look for smaller faces, too.
        turned: look once more, upside down and at the whole picture on its sides, in the end.
    """
    usual = _whole(width, height)
    strips = _strips(width, height)
    tiles = _tiles(width, height, TILE_SIDE, MAX_TILES)
    if strips and tiles and strips[0].scale >= tiles[0].scale:
        tiles = []  # the strips show all that they would
    first = [usual, *strips, *tiles]
    if crowd:
        first += _tiles(width, height, CROWD_SIDE, MAX_CROWD_TILES)
    yield first
    for border in BORDERS:
        yield [_whole(width, height, border)]
    if turned:
        sides = [replace(usual, turn=way * usual.turn, size=usual.size[::-1]) for way in (1j, -1j)]
        yield [replace(view, turn=-view.turn) for view in first] + sides


def _whole(width: int, height: int, border: float = 0.0) -> View:
    """The view of the whole picture, with a border around or without."""
    longer = max(width, height)
    scale = COARSE_VIEW / (longer * (1 + 2 * border))
    size = (
        _units((width + 2 * border * longer) * scale),
        _units((height + 2 * border * longer) * scale),
    )
    return View(complex(width, height) / 2, scale, size)


def _strips(width: int, height: int) -> list[View]:
    """The pieces of a long narrow picture, each as large as other pictures.

    Neighbours overlap by the picture's shorter side, so that a face is whole in one.
    """
    shorter, longer = sorted((width, height))
    if longer <= NARROW * shorter:
        return []
    most = (longer + (MAX_TILES - 1) * shorter) / MAX_TILES
    scale = min(1.0, COARSE_VIEW / shorter, LONGEST_STRIP / most)
    common, needed = shorter * scale, longer * scale
    count = max(1, math.ceil(round((needed - common) / (LONGEST_STRIP - common), 6)))
    long = _units((needed + (count - 1) * common) / count)
    thick = _units(shorter * scale)
    half = long / scale / 2
    centres = np.linspace(half, longer - half, count) if count > 1 else np.array([longer / 2])
    if width > height:
        return [View(complex(x, height / 2), scale, (long, thick)) for x in centres]
    return [View(complex(width / 2, y), scale, (thick, long)) for y in centres]


def _tiles(width: int, height: int, side: float, most: int) -> list[View]:
    """The overlapping rectangles in which a large picture is searched, at most so many."""
    if max(width, height) <= side:
        return []
    while True:
        scale = TILE_VIEW / side
        tall, rows = _spread(height, scale)
        wide, columns = _spread(width, scale)
        if len(rows) * len(columns) <= most:
            break
        side *= 1.05
    return [View(complex(x, y), scale, (wide, tall)) for y in rows for x in columns]


def _spread(length: int, scale: float) -> tuple[int, NDArray[np.float64]]:
    """Tiles along one axis: their length in the view, and their centres in the picture.

    Neighbours overlap by a quarter of `TILE_VIEW` or more, so that a face is whole in one.
    """
    needed, shared = length * scale, TILE_VIEW / 4
    count = max(1, math.ceil((needed - shared) / (LONGEST_TILE - shared)))
    view = _units((needed + (count - 1) * shared) / count)
    half = min(view / scale, length) / 2
    return view, np.linspace(half, length - half, count)


def _units(length: float) -> int:
    """The next side that a view can have."""
    return UNIT * max(1, math.ceil(round(length / UNIT, 6)))

"""The frozen results. Coordinates are pixels of the upright picture, x right, y down."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Point(NamedTuple):
    """A position in pixels; (0, 0) is the outer corner of the top left pixel."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; it may reach past the picture's border."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Facial points in pixels. Left and right are the person's own."""

    right_eye: Point
    left_eye: Point
    nose: Point
    mouth: Point
    right_ear: Point
    left_ear: Point

    @classmethod
    def from_array(cls, points: NDArray[np.floating]) -> Landmarks:
        """Build from an array ``[6, 2]`` in the order of the fields."""
        return cls(*(Point(float(x), float(y)) for x, y in points))

    def to_array(self) -> NDArray[np.float64]:
        """The points as ``[6, 2]`` float64, in the order of the fields."""
        points = (
            self.right_eye,
            self.left_eye,
            self.nose,
            self.mouth,
            self.right_ear,
            self.left_ear,
        )
        return np.array(points, np.float64)


@dataclass(frozen=True, slots=True)
class Detection:
    """A face that the detector found: where it is and how sure the detector is (0 to 1)."""

    box: Box
    landmarks: Landmarks
    score: float


@dataclass(frozen=True, slots=True)
class Face:
    """A face with its estimated age in years, and where it is in the picture.

    Attributes:
        age: estimated age in years; a float, never rounded.
        box: the face's square, in pixels of the upright picture.
        landmarks: eyes, nose, mouth and ears, in the same pixels.
        score: the detector's confidence, 0 to 1.
    """

    age: float
    box: Box
    landmarks: Landmarks
    score: float

    def to_dict(self) -> dict[str, Any]:
        """The face as plain numbers and dicts, ready for JSON."""
        points = {name: list(point) for name, point in asdict(self.landmarks).items()}
        return {
            "age": self.age,
            "box": asdict(self.box),
            "landmarks": points,
            "score": self.score,
        }

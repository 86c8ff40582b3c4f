"""The frozen results. Coordinates are pixels of the upright picture, x right, y down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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
class Interval:
    """Ages from `low` to `high`, both included, in completed years.

    Over many faces like those of the calibration, the fraction `coverage` of the true ages is
    inside.
    """

    low: float
    high: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What is known to make an estimate worse.

    Measured by `agelens.pipeline.quality.measure_quality`.

    Attributes:
        size: side in pixels of the face's square in the picture, forehead to chin.
        sharpness: standard deviation of the Laplacian of the aligned face over that of its grey
            levels.
        brightness: mean of the aligned face, 0 black to 1 white.
        contrast: standard deviation of the aligned face, 0 to about 0.5.
        yaw: degrees by which the head is turned to the picture's right; a rough estimate.
        cut_off: fraction of the aligned face that lies outside the picture, 0 to 1.
        stretch: how much wider the face seems, for its height, than faces are; a rough estimate.
        texture: median of the aligned face's gradient over its mean; low in drawings.
        reasons: what makes an estimate doubtful: "small", "blurred", "dark", "bright", "turned",
            "cut off", "stretched", "drawn", "unlike a face" (the detector was hardly sure) or
            "unsure" (the interval of 90 % is too wide to be of use); empty for a good face.
    """

    size: float
    sharpness: float
    brightness: float
    contrast: float
    yaw: float
    cut_off: float
    stretch: float = 1.0
    texture: float = 1.0
    reasons: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing is known to make the estimate worse."""
        return not self.reasons


@dataclass(frozen=True, slots=True)
class Face:
    """A face with its estimated age in years, and where it is in the picture.

    Attributes:
        age: estimated age in years; a float, never rounded.
        interval: ages that the true one is among, with a stated probability.
        box: the face's square, in pixels of the upright picture.
        landmarks: eyes, nose, mouth and ears, in the same pixels.
        score: the detector's confidence, 0 to 1.
        quality: what may make this estimate worse than others.
        distribution: ``[K]`` float64, the probability of every age of `ages`; sums to 1.
        ages: ``[K]``, completed years.
    """

    age: float
    interval: Interval
    box: Box
    landmarks: Landmarks
    score: float
    quality: Quality
    distribution: NDArray[np.float64] = field(repr=False, compare=False)
    ages: NDArray[np.float64] = field(repr=False, compare=False)

    def at_least(self, age: int) -> float:
        """Probability, 0 to 1, that the person has completed `age` years.

        Raises:
            ValueError: the face was read by `from_dict`, and has no distribution.
        """
        if not len(self.ages):
            raise ValueError("this face was read from a dict, which holds no distribution")
        return float(self.distribution[self.ages >= age].sum())

    def to_dict(self) -> dict[str, Any]:
        """The face as plain numbers, lists and dicts, ready for JSON; without its distribution."""
        points = {name: list(point) for name, point in asdict(self.landmarks).items()}
        return {
            "age": self.age,
            "interval": asdict(self.interval),
            "box": asdict(self.box),
            "landmarks": points,
            "score": self.score,
            "quality": asdict(self.quality) | {"reasons": list(self.quality.reasons)},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Face:
        """Read what `to_dict` gave. The distribution is not in it, so that `at_least` is refused.

        Raises:
            KeyError: a key of `to_dict` is missing.
        """
        quality = dict(values["quality"])
        points = {name: Point(*point) for name, point in values["landmarks"].items()}
        return cls(
            values["age"],
            Interval(**values["interval"]),
            Box(**values["box"]),
            Landmarks(**points),
            values["score"],
            Quality(**quality | {"reasons": tuple(quality["reasons"])}),
            np.empty(0),
            np.empty(0),
        )

"""What is remembered of a face from frame to frame: its age settles while it is in view.

Pure arithmetic on distributions; `agelens.video.tracker` and the web page decide which faces of two
frames are the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agelens.types import Quality

DETECT_EVERY = 5
"""Every so many frames the whole frame is searched; in between, known faces are followed."""
LOST_AFTER = 2.0
"""Seconds that a face may be hidden and still keep its number and its age."""
MEMORY = 150.0
"""Good frames that an age rests on at most (5 s at 30 frames a second): older ones fade, so that an
age which got onto the wrong face is forgotten."""
FAULT_WEIGHT = 0.2
"""A frame counts this much less for each of its quality's reasons. Chosen, not measured."""
MIN_OVERLAP = 0.1
"""Least IoU of the expected box of a known face and a face that may be the same."""


def frame_weight(quality: Quality) -> float:
    """How much a frame counts in its face's age, over 0 and up to 1."""
    return float(FAULT_WEIGHT ** len(quality.reasons))


@dataclass
class FaceMemory:
    """The weighted mean of the distributions that one face had in the frames so far.

    Attributes:
        total: ``[K]``, the weighted sum of its distributions.
        weight: the sum of their weights, at most `MEMORY`.
        seen: when it was last seen, in seconds.
    """

    total: NDArray[np.float64]
    weight: float
    seen: float

    @classmethod
    def start(cls, distribution: NDArray[np.floating], weight: float, time: float) -> FaceMemory:
        """The memory of a face's first frame; the arguments are those of `add`."""
        return cls(weight * np.asarray(distribution, np.float64), weight, time)

    def add(self, distribution: NDArray[np.floating], weight: float, time: float) -> None:
        """Add a frame.

        Args:
            distribution: ``[K]``, what the model says of the face in this frame.
            weight: how much the frame counts, from `frame_weight`.
            time: of the frame, in seconds.
        """
        kept = min(1.0, max(0.0, MEMORY - weight) / self.weight)
        self.total = kept * self.total + weight * np.asarray(distribution, np.float64)
        self.weight = kept * self.weight + weight
        self.seen = time

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean distribution, ``[K]``."""
        return self.total / self.weight

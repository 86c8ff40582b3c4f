"""What is remembered of a face from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest

from agelens.pipeline.memory import MEMORY, FaceMemory, frame_weight
from agelens.types import Quality

YOUNG, OLD = np.array([1.0, 0]), np.array([0.0, 1])


def test_a_frame_with_faults_counts_less() -> None:
    good = Quality(100, 20, 0.5, 0.2, 0, 0)
    assert frame_weight(good) == 1
    assert frame_weight(Quality(30, 2, 0.5, 0.2, 0, 0, 1, 1, ("small", "blurred"))) < 0.1


def test_the_mean_is_weighted() -> None:
    memory = FaceMemory.start(YOUNG, 0.5, 0)
    memory.add(OLD, 1, 1)
    assert memory.mean == pytest.approx([1 / 3, 2 / 3])
    assert memory.seen == 1


def test_what_is_long_ago_fades() -> None:
    memory = FaceMemory.start(YOUNG, 1, 0)
    for time in range(1, int(MEMORY)):
        memory.add(YOUNG, 1, time)
    assert memory.weight == MEMORY
    for time in range(3):
        memory.add(OLD, 1, MEMORY + time)
    assert memory.weight == MEMORY
    assert memory.mean[1] > 2.9 / MEMORY

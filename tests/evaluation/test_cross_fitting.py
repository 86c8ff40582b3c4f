"""What a calibration gains, each face held out of what it is measured with."""

from __future__ import annotations

import numpy as np
import pytest

from agelens.evaluation.cross_fitting import cross_fitted, gain, held
from agelens.pipeline.calibration import Calibration

AGES = np.arange(5.0)
FACES = np.tile([0.05, 0.1, 0.4, 0.25, 0.2], (3, 1))
"""Its interval of 80 % is 2 to 4, its median 2.375 (see the tests of intervals)."""


def test_held_by_hand() -> None:
    labels = np.array([[2, 2], [1, 1], [1, 3]])
    table = held(FACES, labels, AGES, Calibration(), 0.8)
    # Of the band 1 to 3 the interval holds the probabilities of 2 and 3, but not that of 1.
    assert table["covered"].tolist() == pytest.approx([1, 0, 0.65 / 0.75])
    assert table["width"].tolist() == [2, 2, 2]
    assert table["error"].tolist() == pytest.approx([0.375, 1.375, 0])


def test_no_face_is_measured_with_what_it_was_learnt_from() -> None:
    faces, copies = 60, np.repeat(np.arange(30), 2)
    rng = np.random.default_rng(0)
    distributions = rng.dirichlet(np.ones(5), faces)
    labels = rng.integers(0, 5, faces)
    learnt: list[np.ndarray] = []

    def fit(which: np.ndarray) -> Calibration:
        learnt.append(which)
        return Calibration(class_bias=np.eye(5)[2] + 1e-9)

    before = held(distributions, labels, AGES, Calibration())
    after = cross_fitted(fit, distributions, labels, AGES, copies.astype(object))
    gained = gain(before, after)
    assert (np.sum([~which for which in learnt], axis=0) == 1).all()  # each is held out once
    for which in learnt:
        assert not set(copies[which]) & set(copies[~which])  # and its copy with it
    # Every fold's calibration says 2 of every face.
    assert gained.error.second == pytest.approx(np.abs(labels - 2).mean(), abs=1e-6)
    assert gained.error.first == pytest.approx(before["error"].mean())
    assert gained.width.second == pytest.approx(0, abs=1e-6)
    assert gained.covered.second == pytest.approx((labels == 2).mean())

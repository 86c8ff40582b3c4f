"""From a distribution over ages to what is said of a face. Pure functions, the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Distribution = NDArray[np.floating]
"""``[N, K]``: rows of probabilities of K ages, which sum to about 1."""


def quantile(
    distribution: Distribution, ages: NDArray[np.number], level: float
) -> NDArray[np.float64]:
    """The age below which a share `level` of each distribution lies.

    The probability of an age is spread evenly over the year around it, so that quantiles are
    continuous; 0.5 gives the median, which the shipped models are more accurate with than with the
    mean (benchmarks/training-log.md).

    Args:
        distribution: ``[N, K]``, rows that sum to about 1.
        ages: ``[K]`` years, one apart.
        level: 0 to 1.

    Returns:
        ``[N]`` years, within `ages`.
    """
    mass = np.asarray(distribution, np.float64)
    cumulative = np.cumsum(mass, axis=1)
    target = level * cumulative[:, -1:]
    index = np.minimum((cumulative < target).sum(axis=1), mass.shape[1] - 1)[:, None]
    inside = np.take_along_axis(mass, index, axis=1)
    before = np.take_along_axis(cumulative, index, axis=1) - inside
    share = (target - before) / np.maximum(inside, np.finfo(np.float64).tiny)
    grid = np.asarray(ages, np.float64)
    years: NDArray[np.float64] = grid[index[:, 0]] - 0.5 + np.clip(share[:, 0], 0, 1)
    return years.clip(grid[0], grid[-1])


def rank(distribution: Distribution) -> NDArray[np.float64]:
    """How much of each distribution lies below the middle of each age, ``[N, K]``, 0 to 1.

    At the true age this is the probability integral transform: evenly spread over many faces when
    the distributions are right.
    """
    mass = np.asarray(distribution, np.float64)
    cumulative = np.cumsum(mass, axis=1)
    return (cumulative - mass / 2) / cumulative[:, -1:]


@dataclass(frozen=True)
class Calibration:
    """What a model's distributions are worth, learnt on faces that nothing else has seen.

    The default says that they are right as they are.

    Attributes:
        temperature: the log-probabilities are divided by it (Guo et al., ICML 2017).
        anchors: ``[A]`` ages in years, rising.
        levels: ``[L]`` shares from 0 to 1, rising.
        ranks: ``[A, L]``: of the calibration faces whose true age is near an anchor, a share
            `levels` has its true age at a lower `rank` than this.
        faces: how many there were.
    """

    temperature: float = 1.0
    anchors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    levels: NDArray[np.float64] = field(default_factory=lambda: np.array([0.0, 1.0]))
    ranks: NDArray[np.float64] = field(default_factory=lambda: np.array([[0.0, 1.0]]))
    faces: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` gave, as a model file keeps it."""
        arrays = {name: np.array(values[name], float) for name in ("anchors", "levels", "ranks")}
        return cls(float(values["temperature"]), **arrays, faces=int(values["faces"]))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {
            "temperature": self.temperature,
            "anchors": self.anchors.tolist(),
            "levels": self.levels.tolist(),
            "ranks": self.ranks.tolist(),
            "faces": self.faces,
        }

    def tempered(self, distribution: Distribution) -> NDArray[np.float64]:
        """The distributions ``[N, K]`` at this temperature; rows sum to 1."""
        mass = np.asarray(distribution, np.float64)
        if self.temperature != 1:
            mass = (mass / mass.max(axis=1, keepdims=True)) ** (1 / self.temperature)
        whole: NDArray[np.float64] = mass / mass.sum(axis=1, keepdims=True)
        return whole

    def bounds(self, ages: NDArray[np.number], coverage: float) -> NDArray[np.float64]:
        """Lowest and highest `rank` at which each of `ages` belongs to an interval, ``[2, K]``."""
        limits = []
        for level in ((1 - coverage) / 2, (1 + coverage) / 2):
            at_anchors = [float(np.interp(level, self.levels, row)) for row in self.ranks]
            limits.append(np.interp(np.asarray(ages, float), self.anchors, at_anchors))
        return np.array(limits)


def intervals(
    distribution: Distribution,
    ages: NDArray[np.number],
    calibration: Calibration,
    coverage: float,
) -> NDArray[np.float64]:
    """Ages that each true age is among, with probability `coverage`.

    An age belongs to the interval when a face of that age often ranks where this distribution puts
    it: conformal prediction with the rank as score (Chernozhukov, Wüthrich and Zhu, PNAS 2021),
    calibrated for each true age by those near it, so that coverage holds for children and the old
    as it does for the many in between.

    Args:
        distribution: ``[N, K]``, tempered.
        ages: ``[K]`` completed years.
        calibration: of the model.
        coverage: 0 to 1.

    Returns:
        ``[N, 2]``, lowest and highest age, both included; they hold the median.
    """
    low, high = calibration.bounds(ages, coverage)
    ranks = rank(distribution)
    inside = (ranks >= low) & (ranks <= high)
    # The median's own year always belongs: where nothing else does, it is the interval.
    middle = np.abs(ranks - 0.5).argmin(axis=1)
    inside[np.arange(len(inside)), middle] = True
    first = inside.argmax(axis=1)
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    grid = np.asarray(ages, np.float64)
    ends = np.stack([grid[first], grid[last]], axis=1)
    median = quantile(distribution, ages, 0.5)
    return np.stack([np.minimum(ends[:, 0], median), np.maximum(ends[:, 1], median)], axis=1)

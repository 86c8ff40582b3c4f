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
    mean (research/training-log.md).

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


def likelier(distribution: Distribution) -> NDArray[np.float64]:
    """How much of each distribution lies on ages likelier than each age, ``[N, K]``, 0 to 1.

    Half of an age's own probability counts, too. The ages where this is below a share are the
    likeliest that hold about that share. At the true age it is evenly spread over many faces when
    the distributions are right.
    """
    mass = np.asarray(distribution, np.float64)
    order = np.argsort(-mass, axis=1, kind="stable")
    falling = np.take_along_axis(mass, order, axis=1)
    cumulative = falling.cumsum(axis=1)
    shares = np.empty_like(mass)
    np.put_along_axis(shares, order, (cumulative - falling / 2) / cumulative[:, -1:], axis=1)
    return shares


@dataclass(frozen=True)
class Calibration:
    """What a model's distributions are worth, learnt on faces that nothing else has seen.

    The default says that they are right as they are.

    Attributes:
        temperature: the log-probabilities are divided by it (Guo et al., ICML 2017).
        odds: ``[K]``, what the probability of each age is multiplied by then.
        anchors: ``[A]`` ages in years, rising.
        levels: ``[L]`` shares from 0 to 1, rising.
        limits: ``[A, L]``: of the calibration faces whose true age is near an anchor, a share
            `levels` has its true age where `likelier` is below this.
        faces: how many there were.
    """

    temperature: float = 1.0
    odds: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))
    anchors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    levels: NDArray[np.float64] = field(default_factory=lambda: np.array([0.0, 1.0]))
    limits: NDArray[np.float64] = field(default_factory=lambda: np.array([[0.0, 1.0]]))
    faces: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` gave, as a model file keeps it."""
        names = ("odds", "anchors", "levels", "limits")
        arrays = {name: np.array(values[name], float) for name in names}
        return cls(float(values["temperature"]), **arrays, faces=int(values["faces"]))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {
            "temperature": self.temperature,
            "odds": self.odds.tolist(),
            "anchors": self.anchors.tolist(),
            "levels": self.levels.tolist(),
            "limits": self.limits.tolist(),
            "faces": self.faces,
        }

    def calibrated(self, distribution: Distribution) -> NDArray[np.float64]:
        """The distributions ``[N, K]`` at this temperature and with these odds; rows sum to 1."""
        mass = np.asarray(distribution, np.float64)
        if self.temperature != 1:
            mass = (mass / mass.max(axis=1, keepdims=True)) ** (1 / self.temperature)
        mass = mass * self.odds
        whole: NDArray[np.float64] = mass / mass.sum(axis=1, keepdims=True)
        return whole

    def limit(self, ages: NDArray[np.number], coverage: float) -> NDArray[np.float64]:
        """Up to which value of `likelier` each of `ages` belongs to an interval, ``[K]``."""
        at_anchors = [float(np.interp(coverage, self.levels, row)) for row in self.limits]
        return np.asarray(np.interp(np.asarray(ages, float), self.anchors, at_anchors))


def intervals(
    distribution: Distribution,
    ages: NDArray[np.number],
    calibration: Calibration,
    coverage: float,
) -> NDArray[np.float64]:
    """Ages that each true age is among, with probability `coverage`.

    An age belongs to the interval when it is as likely here as the true age is in most faces of
    that age: conformal prediction by highest density (Izbicki, Shimizu and Stern, JMLR 2022),
    calibrated for each true age by those near it, so that coverage holds for children and the old
    as it does for the many in between. Ages between two that belong do, too.

    Args:
        distribution: ``[N, K]``, from `Calibration.calibrated`.
        ages: ``[K]`` completed years.
        calibration: of the model.
        coverage: 0 to 1.

    Returns:
        ``[N, 2]``, lowest and highest age, both included; they hold the median.
    """
    inside = likelier(distribution) <= calibration.limit(ages, coverage)
    # The likeliest year always belongs, as the median does: where nothing else does, they are all.
    inside[np.arange(len(inside)), np.asarray(distribution).argmax(axis=1)] = True
    first = inside.argmax(axis=1)
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    grid = np.asarray(ages, np.float64)
    ends = np.stack([grid[first], grid[last]], axis=1)
    median = quantile(distribution, ages, 0.5)
    return np.stack([np.minimum(ends[:, 0], median), np.maximum(ends[:, 1], median)], axis=1)

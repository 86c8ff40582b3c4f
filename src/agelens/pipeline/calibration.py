"""Calibration: from the network's distribution over ages to an age and an interval.

Pure functions, used by every entry point; `agelens.evaluation.calibrate` fits their parameters.
"""

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
    """The age below which the fraction `level` of each distribution lies.

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
    fraction = (target - before) / np.maximum(inside, np.finfo(np.float64).tiny)
    grid = np.asarray(ages, np.float64)
    years: NDArray[np.float64] = grid[index[:, 0]] - 0.5 + np.clip(fraction[:, 0], 0, 1)
    return years.clip(grid[0], grid[-1])


def density_rank(distribution: Distribution) -> NDArray[np.float64]:
    """The highest-density rank of every age, by which intervals choose ages.

    It is the probability of all ages that are more probable than this one, plus half of this one's
    own. The ages whose rank is below 0.9 are the most probable ones that hold about 0.9 of the
    distribution. Over many faces the rank of the true age is uniform between 0 and 1 if the
    distributions are right.

    Args:
        distribution: ``[N, K]``.

    Returns:
        ``[N, K]``, 0 to 1.
    """
    mass = np.asarray(distribution, np.float64)
    order = np.argsort(-mass, axis=1, kind="stable")
    falling = np.take_along_axis(mass, order, axis=1)
    cumulative = falling.cumsum(axis=1)
    rank = np.empty_like(mass)
    np.put_along_axis(rank, order, (cumulative - falling / 2) / cumulative[:, -1:], axis=1)
    return rank


@dataclass(frozen=True)
class Calibration:
    """How to correct a model's distributions, and how wide intervals must be.

    Fitted on held-out faces.

    The default changes nothing.

    Attributes:
        temperature: the log-probabilities are divided by it (Guo et al., ICML 2017).
        class_bias: ``[K]`` factors; each age's probability is then multiplied by its own. They are
            the exponentials of the biases of bias-corrected temperature scaling (Alexandari,
            Kundaje and Shrikumar, ICML 2020).
        anchors: ``[A]`` ages in years, rising.
        levels: ``[L]`` fractions from 0 to 1, rising.
        score_quantiles: ``[A, L]``: quantiles, at `levels`, of the scores of the calibration faces
            near each anchor's age: the smallest limit on the `density_rank` at which an interval
            holds the true age.
        faces: how many faces it was fitted on.
    """

    temperature: float = 1.0
    class_bias: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))
    anchors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    levels: NDArray[np.float64] = field(default_factory=lambda: np.array([0.0, 1.0]))
    score_quantiles: NDArray[np.float64] = field(default_factory=lambda: np.array([[0.0, 1.0]]))
    faces: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` gave, as a model file keeps it."""
        names = ("class_bias", "anchors", "levels", "score_quantiles")
        arrays = {name: np.array(values[name], float) for name in names}
        return cls(float(values["temperature"]), **arrays, faces=int(values["faces"]))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {
            "temperature": self.temperature,
            "class_bias": self.class_bias.tolist(),
            "anchors": self.anchors.tolist(),
            "levels": self.levels.tolist(),
            "score_quantiles": self.score_quantiles.tolist(),
            "faces": self.faces,
        }

    def calibrated(self, distribution: Distribution) -> NDArray[np.float64]:
        """The corrected distributions, ``[N, K]``; rows sum to 1."""
        mass = np.asarray(distribution, np.float64)
        if self.temperature != 1:
            mass = (mass / mass.max(axis=1, keepdims=True)) ** (1 / self.temperature)
        mass = mass * self.class_bias
        whole: NDArray[np.float64] = mass / mass.sum(axis=1, keepdims=True)
        return whole

    def largest_rank(self, ages: NDArray[np.number], coverage: float) -> NDArray[np.float64]:
        """The largest `density_rank` at which each of `ages` is inside an interval, ``[K]``."""
        at_anchors = [float(np.interp(coverage, self.levels, row)) for row in self.score_quantiles]
        return np.asarray(np.interp(np.asarray(ages, float), self.anchors, at_anchors))


def intervals(
    distribution: Distribution,
    ages: NDArray[np.number],
    calibration: Calibration,
    coverage: float,
) -> NDArray[np.float64]:
    """Intervals that hold the true age with probability `coverage`.

    Conformal prediction with highest-density regions (Izbicki, Shimizu and Stern, JMLR 2022): an
    age is inside if its rank is no larger than the `coverage` quantile of the scores of faces near
    it, so that coverage holds for children and the old as well as for the many in between.
    Ages between two that are inside are inside, too.

    Args:
        distribution: ``[N, K]``, from `Calibration.calibrated`.
        ages: ``[K]`` completed years.
        calibration: of the model.
        coverage: 0 to 1.

    Returns:
        ``[N, 2]``, lowest and highest age, both included; they hold the median.
    """
    inside = density_rank(distribution) <= calibration.largest_rank(ages, coverage)
    # The most probable age and the median are always inside, even where no rank is small enough.
    inside[np.arange(len(inside)), np.asarray(distribution).argmax(axis=1)] = True
    first = inside.argmax(axis=1)
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    grid = np.asarray(ages, np.float64)
    ends = np.stack([grid[first], grid[last]], axis=1)
    median = quantile(distribution, ages, 0.5)
    return np.stack([np.minimum(ends[:, 0], median), np.maximum(ends[:, 1], median)], axis=1)

"""From a distribution over ages to what is said of a face. Pure functions, the same everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantile(
    distribution: NDArray[np.floating], ages: NDArray[np.number], level: float
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

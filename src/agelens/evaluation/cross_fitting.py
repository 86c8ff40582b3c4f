"""What a calibration gains on faces that it was not learnt from, where there are few of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.data.bands import as_bands, distance
from agelens.evaluation.compare import paired
from agelens.evaluation.measured import Paired
from agelens.pipeline.calibration import Calibration, intervals, quantile

FOLDS = 5
COVERAGE = 0.9
"""Of the intervals that are compared."""


class Gain(NamedTuple):
    """Figures before (first) and after (second), each face held out of what it is measured with.

    `covered`: the fraction of labels inside intervals of `COVERAGE`; `width`: of these, years;
    `error`: distance of the estimates from the labels, years.
    """

    covered: Paired
    width: Paired
    error: Paired


def held(
    distributions: NDArray[np.floating],
    labels: NDArray[np.integer],
    ages: NDArray[np.floating],
    calibration: Calibration,
    coverage: float = COVERAGE,
) -> pd.DataFrame:
    """How well each face's label is held by its interval.

    Args:
        distributions: ``[N, K]`` as the model gives them.
        labels: ages ``[N]`` or bands of ages ``[N, 2]``, completed years.
        ages: ``[K]`` that the distributions are over.
        calibration: what corrects them.
        coverage: of the intervals.

    Returns:
        A row for each face. ``covered``: 1 where the interval holds the label, 0 where not; of a
        band, how much of what the model takes to be likely inside it. ``width`` of the interval and
        ``error`` (distance of the estimate from the label), both in years.
    """
    bands, calibrated = as_bands(labels), calibration.calibrated(distributions)
    low, high = intervals(calibrated, ages, calibration, coverage).T[:, :, None]
    first, last = bands.T[:, :, None]
    label = np.where((ages >= first) & (ages <= last), np.maximum(calibrated, 1e-12), 0)
    inside = np.where((ages >= low) & (ages <= high), label, 0).sum(axis=1)
    return pd.DataFrame(
        {
            "covered": inside / label.sum(axis=1),
            "width": (high - low)[:, 0],
            "error": distance(quantile(calibrated, ages, 0.5), bands),
        }
    )


def cross_fitted(
    fit: Callable[[NDArray[np.bool_]], Calibration],
    distributions: NDArray[np.floating],
    labels: NDArray[np.integer],
    ages: NDArray[np.floating],
    groups: NDArray[np.object_],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """`held` of each face with a calibration that is learnt from the others.

    Args:
        fit: learns a calibration from the faces ``[N]`` that are marked.
        distributions: ``[N, K]`` as the model gives them.
        labels: ages ``[N]`` or bands of ages ``[N, 2]``, completed years.
        ages: ``[K]`` that the distributions are over.
        groups: ``[N]``; faces of one group, such as copies of a photo, are held out together.
        seed: of the folds.
    """
    names, numbers = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names))[numbers] % FOLDS
    parts = []
    for out in (fold == each for each in range(FOLDS)):
        if out.any():
            part = held(distributions[out], labels[out], ages, fit(~out))
            parts.append(part.set_index(np.flatnonzero(out)))
    return pd.concat(parts).sort_index()


def gain(before: pd.DataFrame, after: pd.DataFrame, *, seed: int = 0) -> Gain:
    """What changed between two tables of `held` of the same faces; `seed` is of the bootstrap."""
    return Gain(
        *(
            paired(before[name].to_numpy(), after[name].to_numpy(), np.mean, seed)
            for name in Gain._fields
        )
    )

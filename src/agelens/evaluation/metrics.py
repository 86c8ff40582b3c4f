"""Error metrics of ages in years, overall and by group, each with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap

AGE_BANDS = (0, 3, 10, 20, 30, 40, 50, 60, 70, 80, 117)
BAND_NAMES = tuple(f"{low:02d}-{high - 1:02d}" for low, high in pairwise(AGE_BANDS))
RESAMPLES = 1000
CONFIDENCE = 0.95
SMALL_GROUP = 30


Errors = NDArray[np.float64]
"""Estimate minus truth, years; metrics reduce the last axis."""


def mae(errors: Errors, axis: int = -1) -> NDArray[np.float64]:
    """Mean absolute error."""
    return np.asarray(np.abs(errors).mean(axis=axis))


def rmse(errors: Errors, axis: int = -1) -> NDArray[np.float64]:
    """Root mean square error."""
    return np.asarray(np.sqrt((errors**2).mean(axis=axis)))


def bias(errors: Errors, axis: int = -1) -> NDArray[np.float64]:
    """Mean error; positive where the estimates are too old."""
    return np.asarray(errors.mean(axis=axis))


def median_error(errors: Errors, axis: int = -1) -> NDArray[np.float64]:
    """Median absolute error."""
    return np.median(np.abs(errors), axis=axis)


def within(errors: Errors, axis: int = -1, *, years: float) -> NDArray[np.float64]:
    """Share of estimates that are at most `years` away (the cumulative score)."""
    return np.asarray((np.abs(errors) <= years).mean(axis=axis))


METRICS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "mae": mae,
    "rmse": rmse,
    "bias": bias,
    "median_error": median_error,
    "within_3": partial(within, years=3),
    "within_5": partial(within, years=5),
    "within_10": partial(within, years=10),
}


def age_band(ages: ArrayLike) -> list[str]:
    """The band of each age, as in "20-29"."""
    bands = np.searchsorted(AGE_BANDS, np.asarray(ages), side="right") - 1
    return [BAND_NAMES[band] for band in bands]


def measure(
    true: pd.Series, predicted: pd.Series, groups: pd.DataFrame, *, seed: int = 0
) -> dict[str, Any]:
    """All metrics, overall and for each value of each column of `groups`.

    Args:
        true: ages in years.
        predicted: estimates in years, in the same order.
        groups: a column for each grouping, in the same order; missing values form no group.
        seed: of the bootstrap.

    Returns:
        ``{"overall": {metric: {"value", "low", "high"}, "count"}, "groups": {column: {value: …}}}``
        with 95 % percentile bootstrap intervals.
    """
    everyone = pd.Series("all", index=true.index)
    result: dict[str, Any] = {"overall": _frame(true, predicted, everyone, seed)["all"]}
    result["groups"] = {}
    for column in groups:
        known = groups[column].notna()
        if known.any():
            result["groups"][column] = _frame(
                true[known], predicted[known], groups[column][known], seed
            )
    return result


def _frame(
    true: pd.Series, predicted: pd.Series, group: pd.Series, seed: int
) -> dict[str, dict[str, Any]]:
    """The metrics of each group (MetricFrame), with their intervals (SciPy's bootstrap)."""
    frame = MetricFrame(
        metrics={
            name: lambda truth, estimate, metric=metric: metric(np.subtract(estimate, truth))
            for name, metric in METRICS.items()
        },
        y_true=true.to_numpy(),
        y_pred=predicted.to_numpy(),
        sensitive_features=group.to_numpy(str),
    )
    errors = (predicted - true).to_numpy()
    table: dict[str, dict[str, Any]] = {}
    for value, row in frame.by_group.iterrows():
        own = errors[(group == value).to_numpy()]
        table[str(value)] = {"count": len(own)}
        for name, metric in METRICS.items():
            low, high = _interval(own, metric, seed)
            table[str(value)][name] = {"value": float(row[name]), "low": low, "high": high}
    return table


def _interval(
    errors: Errors, metric: Callable[..., NDArray[np.float64]], seed: int
) -> tuple[float, float]:
    """95 % percentile bootstrap interval; a single picture has none, and gives its own value."""
    if len(errors) < 2:
        return float(metric(errors)), float(metric(errors))
    result = bootstrap(
        (errors,),
        metric,
        n_resamples=RESAMPLES,
        batch=100,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)

"""Error metrics of ages in years, overall and by group, each with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray
from scipy.stats import bootstrap

from agelens.ages import age_band
from agelens.evaluation.measured import Groups, Measured, Metrics

RESAMPLES = 1000
CONFIDENCE = 0.95

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
    """Fraction of estimates that are at most `years` away (the cumulative score)."""
    return np.asarray((np.abs(errors) <= years).mean(axis=axis))


Metric = Callable[..., Any]
"""From values, and the axis that is reduced, to a figure."""
METRICS: dict[str, Metric] = {
    "mae": mae,
    "rmse": rmse,
    "bias": bias,
    "median_error": median_error,
    "within_3": partial(within, years=3),
    "within_5": partial(within, years=5),
    "within_10": partial(within, years=10),
}


INTERVAL_METRICS = ("coverage", "width")
"""Measured where intervals are given: the fraction of true ages inside, and the mean width in years
(high minus low)."""


def group_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """What rows with a true age are grouped by: age band, gender, ethnicity; of several, source."""
    columns = {
        "age": age_band(rows["age"].to_numpy(int)),
        "gender": rows["gender"].array,
        "ethnicity": rows["ethnicity"].array,
    }
    if "source" in rows and rows["source"].nunique() > 1:
        columns["source"] = rows["source"].array
    return pd.DataFrame(columns, index=rows.index)


def measure(
    true: pd.Series,
    predicted: pd.Series,
    groups: pd.DataFrame,
    *,
    low: pd.Series | None = None,
    high: pd.Series | None = None,
    metrics: Sequence[str] = (*METRICS, *INTERVAL_METRICS),
    seed: int = 0,
) -> tuple[Metrics, dict[str, Groups]]:
    """All metrics, overall and for each value of each column of `groups`.

    Args:
        true: ages in years.
        predicted: estimates in years, in the same order.
        groups: a column for each grouping, in the same order; missing values form no group.
        low: lowest age of each interval, included; without it intervals are not measured.
        high: highest age of each interval, included.
        metrics: names of those wanted.
        seed: of the bootstrap.

    Returns:
        The metrics of all, and those of the groups by column and value, with 95 % percentile
        bootstrap intervals.
    """
    samples = pd.DataFrame({"true": true, "error": (predicted - true).astype(float)})
    wanted = {name: METRICS[name] for name in metrics if name in METRICS}
    if low is not None and high is not None:
        samples["coverage"] = ((low <= true) & (true <= high)).astype(float)
        samples["width"] = (high - low).astype(float)
        wanted |= {name: np.mean for name in metrics if name in INTERVAL_METRICS}
    everyone = pd.Series("all", index=true.index)
    by_column = {}
    for column in map(str, groups):
        known = groups[column].notna()
        if known.any():
            by_column[column] = _frame(samples[known], groups[column][known], wanted, seed)
    return _frame(samples, everyone, wanted, seed)["all"], by_column


def _frame(
    samples: pd.DataFrame, group: pd.Series, metrics: dict[str, Metric], seed: int
) -> Groups:
    """The metrics of each group (MetricFrame), with their intervals (SciPy's bootstrap)."""
    of = {name: name if name in INTERVAL_METRICS else "error" for name in metrics}
    frame = MetricFrame(
        metrics={
            name: lambda _true, _error, values, metric=metric: metric(values)
            for name, metric in metrics.items()
        },
        y_true=samples["true"].to_numpy(),
        y_pred=samples["error"].to_numpy(),
        sensitive_features=pd.Series(group.to_numpy(str), name="group"),
        sample_params={name: {"values": samples[of[name]].to_numpy()} for name in metrics},
    )
    table: Groups = {}
    for value, row in frame.by_group.iterrows():
        own = samples[(group == value).to_numpy()]
        figures = {}
        for name, metric in metrics.items():
            low, high = interval(own[of[name]].to_numpy(), metric, seed)
            figures[name] = Measured(value=float(row[name]), low=low, high=high)
        table[str(value)] = Metrics(count=len(own), **figures)
    return table


def interval(values: NDArray[np.float64], metric: Metric, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval; a single picture has none, and gives its own value."""
    if len(values) < 2:
        return float(metric(values)), float(metric(values))
    result = bootstrap(
        (values,),
        metric,
        n_resamples=RESAMPLES,
        batch=100,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)

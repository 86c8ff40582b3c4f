"""Two models on the same pictures, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from agelens.errors import DataError
from agelens.evaluation.metrics import (
    CONFIDENCE,
    METRICS,
    RESAMPLES,
    SMALL_GROUP,
    Metric,
    group_columns,
)

COMPARED = ("mae", "rmse", "bias", "median_error", "within_5")


def compare(first: pd.DataFrame, second: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """Differences between two models by a paired bootstrap over pictures.

    A hard picture is hard for both, so that the difference is surer than its two sides.

    Args:
        first: from `predict_split`.
        second: from `predict_split` with another model on the same split.
        seed: of the bootstrap.

    Returns:
        ``count`` of pictures in which both found the face; ``overall``: {metric: {"first",
        "second", "difference": {"value", "low", "high"}}}, second minus first; ``groups``: the
        same of the mean absolute error, {column: {value: {"count", "small", "mae": …}}}.

    Raises:
        DataError: there is no such picture.
    """
    both = first.merge(second[["path", "predicted"]], on="path", suffixes=("", "_second"))
    both = both[both["predicted"].notna() & both["predicted_second"].notna()]
    if both.empty:
        raise DataError("the two models have no picture in common in which both found a face")
    true = both["age"].astype(float)
    one = (both["predicted"] - true).to_numpy(float)
    two = (both["predicted_second"] - true).to_numpy(float)
    groups: dict[str, Any] = {}
    for column, values in group_columns(both).items():
        groups[str(column)] = {
            str(value): {"count": len(rows), "small": len(rows) < SMALL_GROUP}
            | {"mae": paired(one[rows], two[rows], METRICS["mae"], seed)}
            for value in sorted(values.dropna().unique())
            for rows in [np.flatnonzero((values == value).fillna(False).to_numpy(bool))]
        }
    return {
        "count": len(both),
        "overall": {name: paired(one, two, METRICS[name], seed) for name in COMPARED},
        "groups": groups,
    }


def paired(first: Any, second: Any, metric: Metric, seed: int = 0) -> dict[str, Any]:
    """A metric of two rows of errors ``[N]``, and its difference with a 95 % interval."""
    sides = {"first": float(metric(first)), "second": float(metric(second))}
    value = sides["second"] - sides["first"]
    low = high = value
    if len(first) > 1:
        ends = bootstrap(
            (first, second),
            lambda a, b, axis=-1: metric(b, axis=axis) - metric(a, axis=axis),
            n_resamples=RESAMPLES,
            batch=100,
            paired=True,
            vectorized=True,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(ends.low), float(ends.high)
    return {**sides, "difference": {"value": value, "low": low, "high": high}}

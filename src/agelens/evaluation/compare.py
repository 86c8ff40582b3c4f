"""Two models on the same pictures, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from agelens.errors import DataError
from agelens.evaluation.measured import Comparison, Measured, Paired, PairedGroup
from agelens.evaluation.metrics import (
    CONFIDENCE,
    METRICS,
    RESAMPLES,
    Metric,
    group_columns,
)

COMPARED = ("mae", "rmse", "bias", "median_error", "within_5")


def compare(first: pd.DataFrame, second: pd.DataFrame, name: str, *, seed: int = 0) -> Comparison:
    """Differences between two models by a paired bootstrap over pictures.

    A hard picture is hard for both, so that the difference is surer than its two sides.

    Args:
        first: from `predict_split`.
        second: from `predict_split` with another model on the same split.
        name: of that other model.
        seed: of the bootstrap.

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
    groups: dict[str, dict[str, PairedGroup]] = {}
    for column, values in group_columns(both).items():
        groups[str(column)] = {
            str(value): PairedGroup(
                count=len(rows), mae=paired(one[rows], two[rows], METRICS["mae"], seed)
            )
            for value in sorted(values.dropna().unique())
            for rows in [np.flatnonzero((values == value).fillna(False).to_numpy(bool))]
        }
    overall = {metric: paired(one, two, METRICS[metric], seed) for metric in COMPARED}
    return Comparison(second=name, count=len(both), overall=overall, groups=groups)


def paired(first: Any, second: Any, metric: Metric, seed: int = 0) -> Paired:
    """A metric of two rows of errors ``[N]``, and its difference with a 95 % interval."""
    one, two = float(metric(first)), float(metric(second))
    value = two - one
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
    difference = Measured(value=value, low=low, high=high)
    return Paired(first=one, second=two, difference=difference)

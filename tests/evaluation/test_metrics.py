"""Metrics by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agelens.evaluation.measured import Metrics
from agelens.evaluation.metrics import age_band, measure

TRUE = pd.Series([10.0, 20, 30, 40])
PREDICTED = pd.Series([13.0, 20, 24, 52])


def test_metrics_by_hand() -> None:
    overall, _ = measure(TRUE, PREDICTED, pd.DataFrame(index=TRUE.index))
    values = {name: overall[name].value for name in Metrics.model_fields if name in overall}
    assert overall.count == 4
    assert values == pytest.approx(
        {
            "mae": (3 + 0 + 6 + 12) / 4,
            "rmse": np.sqrt((9 + 0 + 36 + 144) / 4),
            "bias": (3 + 0 - 6 + 12) / 4,
            "median_error": 4.5,
            "within_3": 0.5,
            "within_5": 0.5,
            "within_10": 0.75,
        }
    )


def test_groups_and_missing_values() -> None:
    groups = pd.DataFrame({"gender": ["male", "female", "male", None]})
    _, by_column = measure(TRUE, PREDICTED, groups)
    found = by_column["gender"]
    assert set(found) == {"male", "female"}
    assert found["male"]["mae"].value == pytest.approx(4.5)
    assert (found["male"].count, found["female"].count) == (2, 1)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        errors = rng.normal(0, 5, 300)
        true = pd.Series(rng.uniform(0, 90, 300))
        overall, _ = measure(true, true + errors, pd.DataFrame(index=true.index))
        figure = overall["mae"]
        assert figure.low < figure.value < figure.high
        covered += figure.low <= 5 * np.sqrt(2 / np.pi) <= figure.high
    assert covered >= 16


def test_age_bands() -> None:
    assert age_band([0, 2, 3, 9, 10, 79, 80, 116]) == [
        "00-02", "00-02", "03-09", "03-09", "10-19", "70-79", "80-116", "80-116",
    ]  # fmt: skip


def test_coverage_and_width_by_hand() -> None:
    true = pd.Series([10.0, 20, 30, 40])
    low, high = pd.Series([8.0, 21, 30, 30]), pd.Series([12.0, 25, 30, 39.0])
    overall, _ = measure(true, true, pd.DataFrame(index=true.index), low=low, high=high)
    assert overall["coverage"].value == 0.5  # the ends belong to an interval
    assert overall["width"].value == pytest.approx((4 + 4 + 0 + 9) / 4)

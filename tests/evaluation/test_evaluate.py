"""Metrics by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from agelens.evaluation.metrics import age_band, measure
from agelens.evaluation.report.terminal import print_report

TRUE = pd.Series([10.0, 20, 30, 40])
PREDICTED = pd.Series([13.0, 20, 24, 52])


def test_metrics_by_hand() -> None:
    overall = measure(TRUE, PREDICTED, pd.DataFrame(index=TRUE.index))["overall"]
    values = {name: figure["value"] for name, figure in overall.items() if name != "count"}
    assert overall["count"] == 4
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
    report = measure(TRUE, PREDICTED, groups)["groups"]["gender"]
    assert set(report) == {"male", "female"}
    assert report["male"]["mae"]["value"] == pytest.approx(4.5)
    assert report["male"]["count"] == 2
    assert report["female"]["count"] == 1


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        errors = rng.normal(0, 5, 300)
        true = pd.Series(rng.uniform(0, 90, 300))
        figure = measure(true, true + errors, pd.DataFrame(index=true.index))["overall"]["mae"]
        assert figure["low"] < figure["value"] < figure["high"]
        covered += figure["low"] <= 5 * np.sqrt(2 / np.pi) <= figure["high"]
    assert covered >= 16


def test_age_bands() -> None:
    assert age_band([0, 2, 3, 9, 10, 79, 80, 116]) == [
        "00-02", "00-02", "03-09", "03-09", "10-19", "70-79", "80-116", "80-116",
    ]  # fmt: skip


def test_the_table_names_what_was_missed() -> None:
    report = measure(TRUE, PREDICTED, pd.DataFrame({"gender": ["male"] * 4}))
    report |= {"model": "m", "split": "test", "images": 5, "missed": ["x.jpg"], "miss_rate": 0.2}
    console = Console(record=True, width=140)
    print_report(report, console)
    text = console.export_text()
    assert "5.25" in text
    assert "gender male*" in text
    assert "No face found in 1 pictures (20.00%)" in text
    assert "x.jpg" in text


def test_comparison_and_corruptions_are_printed() -> None:
    report = measure(TRUE, PREDICTED, pd.DataFrame({"gender": ["male"] * 4}))
    report |= {"model": "m", "split": "test", "images": 4, "missed": [], "miss_rate": 0.0}
    difference = {"value": -0.25, "low": -0.5, "high": 0.1}
    mae = {"first": 5.25, "second": 5.0, "difference": difference}
    report["compared"] = {"with": "other", "count": 4, "overall": {"mae": mae}}
    figures = {"ratio": 1.5, "miss_rate": 0.25}
    report["corruptions"] = {
        "pictures": 4,
        "clean": {"mae": 5.25},
        "kinds": {"low_light": {"severities": {"3": figures, "4": figures | {"ratio": None}}}},
        "means": {"1-3": {"ratio": 1.5, "miss_rate": 0.25}, "1-5": None},
    }
    console = Console(record=True, width=140)
    print_report(report, console)
    text = console.export_text()
    assert "-0.250 [-0.500, +0.100]" in text
    assert "low light" in text
    assert "1.50  25.0%" in text
    assert "–  25.0%" in text
    assert "Severities 1-3: ratio 1.50, missed 25.0%." in text
    assert "Severities 1-5" not in text

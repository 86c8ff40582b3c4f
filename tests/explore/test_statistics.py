"""Statistics of labels, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agelens.explore.statistics import (
    age_summary,
    effective_number,
    heaps,
    label_quality,
    splits_agree,
    whipple,
)


def test_heaps_and_whipple_by_hand() -> None:
    even = np.full(80, 50)
    assert heaps(even) == {}
    assert whipple(even) == pytest.approx(100)
    heaped = even.copy()
    heaped[26] = 200
    assert heaps(heaped) == {26: pytest.approx(4)}
    round_only = np.where(np.arange(80) % 5 == 0, 100, 0)
    assert whipple(round_only) == pytest.approx(500)
    assert whipple(np.zeros(10, int)) is None


def test_effective_number_by_hand() -> None:
    assert effective_number(np.array([0, 1, 2]), beta=0.5) == pytest.approx([0, 1, 1.5])
    assert effective_number(np.array([10**6]))[0] == pytest.approx(1000)


def test_age_summary_by_hand() -> None:
    facts = age_summary(pd.Series([10, 20, 30, 80]))
    assert (facts["mean"], facts["median"], facts["fraction_under_40"]) == (35, 25, 0.75)
    assert facts["skewness"] > 0


def test_splits_that_differ_are_told_from_those_that_agree() -> None:
    rng = np.random.default_rng(0)
    same = pd.DataFrame(
        {
            "age": rng.integers(0, 80, 900),
            "split": np.repeat(["train", "validation", "test"], 300),
            "gender": rng.choice(["male", "female"], 900),
            "ethnicity": None,
        }
    )
    tests = splits_agree(same)
    assert set(tests) == {"age", "gender"}
    assert all(test["p"] > 0.01 for test in tests.values())
    other = same.assign(age=same["age"] + 15 * (same["split"] == "test"))
    other.loc[other["split"] == "test", "gender"] = "male"
    assert all(test["p"] < 0.01 for test in splits_agree(other).values())


def test_label_quality_weighs_an_error_by_the_doubt() -> None:
    grid = np.arange(117.0)
    narrow, wide = (np.exp(-((grid - 30) ** 2) / (2 * s**2)) for s in (2, 12))
    distribution = np.stack([d / d.sum() for d in (narrow, narrow, wide)])
    found = label_quality(np.array([30.0, 50.0, 50.0]), distribution, grid)
    assert found["label_quality"][0] == pytest.approx(1, abs=0.01)
    assert found["label_quality"][1] < 1e-6 < 0.05 < found["label_quality"][2]
    assert found["error"].tolist() == pytest.approx([0, -20, -20], abs=0.1)

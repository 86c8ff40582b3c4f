"""Two models compared on the same pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agelens import DataError
from agelens.evaluation.compare import compare, paired
from agelens.evaluation.metrics import mae


def test_a_paired_difference_is_surer_than_its_sides() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0, 6, 400)
    better = paired(first, first * 0.95, mae).difference
    assert better.high < 0  # though each side alone is known only to about half a year
    assert better.value == pytest.approx(-0.05 * np.abs(first).mean())


def table_of(paths: list[str], predicted: list[float]) -> pd.DataFrame:
    count = len(paths)
    return pd.DataFrame(
        {"path": paths, "age": [30] * count, "gender": ["male"] * count,
         "ethnicity": ["Asian"] * count, "predicted": predicted}
    )  # fmt: skip


def test_models_are_compared_where_both_found_a_face() -> None:
    first, second = table_of(["a", "b"], [31, np.nan]), table_of(["b", "a"], [30, 33])
    report = compare(first, second, "other")
    assert report.count == 1
    assert report.overall["mae"].difference.value == 2
    with pytest.raises(DataError, match="in common"):
        compare(first.iloc[:1], second.iloc[:1], "other")

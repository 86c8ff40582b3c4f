"""Groups of unlike ages, as if they were equally old."""

from __future__ import annotations

import numpy as np
import pytest

from agelens.evaluation.groups import standardised


def test_standardised_errors_by_hand() -> None:
    """Two groups that err alike at every age, one of them with more of the hard ages."""
    ages = np.array([25] * 10 + [65] * 10 + [25] * 30 + [65] * 10)
    errors = np.where(ages == 25, 2.0, 8.0)
    group = np.array(["a"] * 20 + ["b"] * 40)
    table = standardised(errors, ages, group)
    assert table is not None
    crude = [np.abs(errors[group == name]).mean() for name in "ab"]
    assert crude == [5.0, 3.5]
    for name in "ab":  # 40 of 60 faces are young
        assert table.groups[name].value == pytest.approx((40 * 2 + 20 * 8) / 60)
    assert table.widest.difference.value == pytest.approx(0)
    assert table.fraction == 1
    assert table.groups["a"].small
    assert not table.groups["b"].small


def test_bands_that_a_group_lacks_are_left_out_for_all() -> None:
    ages = np.array([25] * 20 + [65] * 10)
    group = np.array((["a", "b"] * 10) + ["a"] * 10)
    table = standardised(np.ones(30), ages, group)
    assert table is not None
    assert table.bands == ["20-29"]
    assert table.fraction == pytest.approx(20 / 30)
    assert standardised(np.ones(3), np.array([5, 25, 65]), np.array(["a", "b", "c"])) is None

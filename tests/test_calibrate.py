"""From a distribution to an age."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agelens.calibrate import quantile

AGES = np.arange(117)


def point(age: int) -> np.ndarray:
    return np.eye(117)[[age]]


def test_a_certain_age_is_its_own_median() -> None:
    assert quantile(point(30), AGES, 0.5) == pytest.approx([30])
    assert quantile(point(0), AGES, 0.5) == pytest.approx([0])


def test_quantiles_by_hand() -> None:
    half = (point(20) + point(40)) / 2
    assert quantile(half, AGES, 0.25) == pytest.approx([20.0])
    assert quantile(half, AGES, 0.5) == pytest.approx([20.5])
    assert quantile(half, AGES, 0.75) == pytest.approx([40.0])
    skewed = 0.6 * point(20) + 0.4 * point(60)  # the mean would be 36, an age that nobody has
    assert quantile(skewed, AGES, 0.5) == pytest.approx([19.5 + 0.5 / 0.6])


def test_ends_stay_within_the_ages() -> None:
    for age in (0, 116):
        low, high = (quantile(point(age), AGES, level)[0] for level in (0.0, 1.0))
        assert 0 <= low <= high <= 116


weights = st.lists(st.floats(0, 1), min_size=117, max_size=117).filter(lambda v: sum(v) > 0.1)


@given(weights, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise_with_the_level_and_ignore_scale(
    values: list[float], first: float, second: float
) -> None:
    distribution = np.array([values]) / sum(values)
    low, high = sorted((first, second))
    assert quantile(distribution, AGES, low)[0] <= quantile(distribution, AGES, high)[0] + 1e-9
    age = quantile(distribution, AGES, first)[0]
    assert quantile(distribution * 0.5, AGES, first)[0] == pytest.approx(age, abs=1e-6)
    below = np.interp(age, np.arange(118) - 0.5, np.concatenate([[0], distribution[0].cumsum()]))
    assert below == pytest.approx(first, abs=1e-6) or age in (0, 116)

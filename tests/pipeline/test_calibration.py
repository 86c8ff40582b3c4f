"""From a distribution to an age."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agelens.pipeline.calibration import Calibration, density_rank, intervals, quantile

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


def test_shares_by_hand() -> None:
    shares = density_rank(np.array([[0.2, 0.5, 0.3], [3, 0, 1]]))
    assert shares.tolist() == [pytest.approx([0.9, 0.25, 0.65]), pytest.approx([0.375, 1, 0.875])]


def test_temperature_by_hand() -> None:
    cooled = Calibration(temperature=0.5).calibrated(np.array([[0.2, 0.8]]))
    assert cooled[0] == pytest.approx([0.04 / 0.68, 0.64 / 0.68])
    assert Calibration().calibrated(np.array([[1.0, 3.0]]))[0] == pytest.approx([0.25, 0.75])


def test_odds_by_hand() -> None:
    known = Calibration(temperature=0.5, class_bias=np.array([4.0, 1.0]))
    assert known.calibrated(np.array([[0.2, 0.8]]))[0] == pytest.approx([0.2, 0.8])


def test_intervals_by_hand() -> None:
    grid = np.arange(5)
    distribution = np.array([[0.05, 0.1, 0.4, 0.25, 0.2]])  # shares .975 .9 .2 .525 .75
    assert intervals(distribution, grid, Calibration(), 0.8).tolist() == [[2, 4]]
    assert intervals(distribution, grid, Calibration(), 0.92).tolist() == [[1, 4]]
    assert intervals(distribution, grid, Calibration(), 0.01).tolist() == [[2, 2.375]]  # the median
    # Faces of up to 1 are often less likely than others are.
    children = Calibration(
        anchors=np.array([1.0, 2.0]),
        levels=np.array([0.0, 0.8, 1.0]),
        score_quantiles=np.array([[0.0, 0.95, 1.0], [0.0, 0.6, 1.0]]),
    )
    assert intervals(distribution, grid, children, 0.8).tolist() == [[1, 3]]
    apart = np.array([[0.4, 0.1, 0.0, 0.1, 0.4]])  # what lies between belongs, too
    assert intervals(apart, grid, Calibration(), 0.7).tolist() == [[0, 4]]


def test_a_calibration_survives_json() -> None:
    known = Calibration(
        0.9, np.ones(3), np.array([1.0, 2]), np.array([0.0, 1]), np.array([[0.0, 1], [0, 1]]), 7
    )
    again = Calibration.from_dict(json.loads(json.dumps(known.to_dict())))
    assert again.to_dict() == known.to_dict()


@given(weights, st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_intervals_hold_the_median_and_grow_with_coverage(
    values: list[float], first: float, second: float
) -> None:
    distribution = np.array([values]) / sum(values)
    low, high = sorted((first, second))
    narrow = intervals(distribution, AGES, Calibration(), low)[0]
    wide = intervals(distribution, AGES, Calibration(), high)[0]
    assert wide[0] <= narrow[0] <= quantile(distribution, AGES, 0.5)[0] <= narrow[1] <= wide[1]


def wrong_model(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Ages, and distributions that are too sharp and pull the old to the middle."""
    true = rng.integers(0, 90, count)
    centre = true - 0.15 * np.maximum(true - 50, 0) + rng.normal(0, 1 + 0.08 * true)
    spread = (0.7 + 0.05 * true)[:, None]
    unnormalised = np.exp(-((AGES - centre[:, None]) ** 2) / (2 * spread**2)) + 1e-6
    return unnormalised / unnormalised.sum(1, keepdims=True), true


def test_a_fitted_calibration_covers_what_it_says() -> None:
    calibration_module = pytest.importorskip("agelens.evaluation.fitting")
    rng = np.random.default_rng(0)
    distributions, true = wrong_model(rng, 1500)
    fitted = calibration_module.fit_calibration(distributions, true, AGES.astype(float))
    assert fitted.temperature > 1.1  # it was too sure
    assert np.ptp(np.log(fitted.class_bias)) > 0.5  # and pulled
    fresh, truth = wrong_model(rng, 4000)
    for coverage in (0.8, 0.9):
        ends = intervals(fitted.calibrated(fresh), AGES, fitted, coverage)
        covered = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        assert covered.mean() == pytest.approx(coverage, abs=0.035)
        for low in range(0, 90, 15):
            band = (truth >= low) & (truth < low + 15)
            assert covered[band].mean() > coverage - 0.07, low
    raw = intervals(fresh, AGES, Calibration(), 0.9)
    assert ((raw[:, 0] <= truth) & (truth <= raw[:, 1])).mean() < 0.8  # what it is for


def test_the_rank_of_an_interval_by_hand() -> None:
    fitting = pytest.importorskip("agelens.evaluation.fitting")
    apart = np.array([[0.4, 0.1, 0.0, 0.1, 0.4], [0.1, 0.2, 0.4, 0.2, 0.1]])
    assert density_rank(apart)[0] == pytest.approx([0.2, 0.85, 1.0, 0.95, 0.6])
    found = fitting.interval_rank(apart)
    assert found[0] == pytest.approx([0.2, 0.6, 0.6, 0.6, 0.6])  # with the second peak all is held
    assert found[1] == pytest.approx(density_rank(apart)[1])  # there are no gaps


@given(weights, st.floats(0.01, 0.99))
def test_an_interval_holds_the_ages_of_no_larger_rank(values: list[float], level: float) -> None:
    fitting = pytest.importorskip("agelens.evaluation.fitting")
    distribution = np.array([values]) / sum(values)
    held = np.flatnonzero(fitting.interval_rank(distribution)[0] <= level)
    low, high = intervals(distribution, AGES, Calibration(), level)[0]
    if len(held):  # else the median alone
        assert (held == np.arange(held[0], held[-1] + 1)).all()
        assert low <= AGES[held[0]] <= AGES[held[-1]] <= high


def test_intervals_of_rough_distributions_hold_no_more_than_they_say() -> None:
    fitting = pytest.importorskip("agelens.evaluation.fitting")
    rng = np.random.default_rng(7)

    def faces(count: int) -> tuple[np.ndarray, np.ndarray]:
        mass, true = wrong_model(rng, count)
        rough = mass * np.exp(rng.normal(0, 1, mass.shape))
        return rough / rough.sum(1, keepdims=True), true

    known, true = faces(3000)
    fresh, truth = faces(4000)
    fitted = fitting.fit_calibration(known, true, AGES.astype(float))
    for coverage in (0.5, 0.8, 0.9):
        low, high = intervals(fitted.calibrated(fresh), AGES, fitted, coverage).T
        covered = float(((low <= truth) & (truth <= high)).mean())
        assert covered == pytest.approx(coverage, abs=0.03), coverage


def decades(true: np.ndarray) -> np.ndarray:
    """The decade of each age, as a band."""
    low = true // 10 * 10
    return np.stack([low, low + 9], axis=1)


def test_a_calibration_learnt_from_bands_covers_ages() -> None:
    """Nobody's age is known in years, and intervals hold ages all the same."""
    calibration_module = pytest.importorskip("agelens.evaluation.fitting")
    rng = np.random.default_rng(0)
    distributions, true = wrong_model(rng, 3000)
    fitted = calibration_module.fit_calibration(distributions, decades(true), AGES.astype(float))
    assert fitted.faces == 3000
    assert fitted.temperature > 1.1
    fresh, truth = wrong_model(rng, 4000)
    ends = intervals(fitted.calibrated(fresh), AGES, fitted, 0.9)
    covered = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    # Within a band it can but believe the model, which is wrong there, too.
    assert covered.mean() == pytest.approx(0.9, abs=0.06)
    errors = [
        np.abs(quantile(mass, AGES, 0.5) - truth)[truth >= 60].mean()
        for mass in (fresh, fitted.calibrated(fresh))
    ]
    assert errors[1] < 0.9 * errors[0]  # the pull of the old to the middle shows in bands, too


def test_a_label_of_one_year_is_a_band_of_one_year() -> None:
    calibration_module = pytest.importorskip("agelens.evaluation.fitting")
    distributions, true = wrong_model(np.random.default_rng(5), 400)
    ages = AGES.astype(float)
    fitted = calibration_module.fit_calibration(distributions, true, ages)
    bands = np.stack([true, true], axis=1)
    weighted = calibration_module.fit_calibration(distributions, bands, ages, np.ones(400))
    assert fitted.to_dict() == weighted.to_dict()
    # A face that counts twice is as two.
    old = np.flatnonzero(true >= 45)
    twice = np.where(true >= 45, 2.0, 1.0)
    repeated = np.concatenate([np.arange(400), old])
    heavier = calibration_module.fit_temperature(distributions, bands, ages, twice)
    doubled = calibration_module.fit_temperature(distributions[repeated], true[repeated], ages)
    assert heavier == pytest.approx(doubled, rel=1e-4)
    assert heavier != pytest.approx(fitted.temperature, rel=1e-3)


def test_the_temperature_of_a_band_by_hand() -> None:
    calibration_module = pytest.importorskip("agelens.evaluation.fitting")
    ages = np.arange(3.0)
    # With a temperature T, the band of 0 and 1 has (x + 1) / (x + 2) of the mass, x = 2^(1/T).
    distributions = np.tile([0.5, 0.25, 0.25], (4, 1))
    labels = np.array([[0, 1], [0, 1], [0, 1], [2, 2]])
    found = calibration_module.fit_temperature(distributions, labels, ages)
    # Three of four faces are in it: x is 2, and the model is right as it is.
    assert found == pytest.approx(1, abs=0.01)


def test_odds_take_a_pull_away() -> None:
    calibration_module = pytest.importorskip("agelens.evaluation.fitting")
    rng = np.random.default_rng(1)

    def faces(count: int) -> tuple[np.ndarray, np.ndarray]:
        """What a model sees well, times the class_bias of a population with few of the old."""
        true = rng.integers(0, 90, count)
        seen = np.exp(-((AGES - true[:, None] - rng.normal(0, 8, (count, 1))) ** 2) / 128)
        pulled = seen * np.exp(-AGES / 15) + 1e-9
        return pulled / pulled.sum(1, keepdims=True), true

    known, true = faces(1500)
    class_bias = calibration_module.fit_class_bias(known, true, AGES.astype(float), hold=1)
    fresh, truth = faces(4000)
    before, after = (quantile(mass, AGES, 0.5) - truth for mass in (fresh, fresh * class_bias))
    middle = (truth >= 20) & (truth < 80)
    assert before[middle].mean() < -3.5  # 64 / 15 years
    assert abs(after[middle].mean()) < 0.7
    assert np.abs(after).mean() < 0.9 * np.abs(before).mean()


def test_few_faces_move_odds_little() -> None:
    calibration_module = pytest.importorskip("agelens.evaluation.fitting")
    distributions, true = wrong_model(np.random.default_rng(3), 1500)
    few, many = (
        np.abs(
            np.log(
                calibration_module.fit_class_bias(distributions[:n], true[:n], AGES.astype(float))
            )
        )
        for n in (50, 1500)
    )
    assert few.max() < 0.3 * many.max()


def test_a_population_of_adults_is_calibrated_for_all_ages() -> None:
    calibration_module = pytest.importorskip("agelens.evaluation.fitting")
    distributions, true = wrong_model(np.random.default_rng(4), 1500)
    adults = true >= 60
    fitted = calibration_module.fit_calibration(
        distributions[adults], true[adults], AGES.astype(float)
    )
    assert np.isfinite(fitted.score_quantiles).all()
    assert (np.diff(fitted.score_quantiles, axis=1) >= 0).all()


def test_the_old_count_more() -> None:
    calibration_module = pytest.importorskip("agelens.evaluation.fitting")
    distributions, true = wrong_model(np.random.default_rng(2), 1500)
    ages = AGES.astype(float)
    alike, more = (
        calibration_module.fit_class_bias(distributions, true, ages, old_weight=weight)
        for weight in (1.0, 3.0)
    )
    old = true >= 60
    errors = [
        np.abs(quantile(distributions * class_bias, AGES, 0.5) - true)[old].mean()
        for class_bias in (alike, more)
    ]
    assert errors[1] < errors[0]

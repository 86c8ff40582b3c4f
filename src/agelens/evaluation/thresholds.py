"""How often an age check by estimate is wrong, and whether its probabilities come true.

The rates are those of NIST's Face Analysis Technology Evaluation (NIST IR 8525): somebody under the
legal age who is estimated at or above the challenge age is a false positive, somebody of age who is
estimated below it a false negative. Their intervals are Clopper and Pearson's (Biometrika 1934),
which cover at least as often as they say, however rare the error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from agelens.evaluation.measured import (
    Challenge,
    CheckRates,
    LowestChallenge,
    Rate,
    Reliability,
    ReliabilityBin,
    Threshold,
)
from agelens.evaluation.metrics import CONFIDENCE

CHALLENGES = 12
"""Challenge ages are the legal age to so many years above it: 18 to 30."""
NEAR = 4
"""False positives are also counted among those at most so many years under age: 14 to 17. A
dataset's babies make the whole rate lower than that of people near the age."""
BOUND = 0.05
BINS = 10


def rate(events: int, total: int) -> Rate | None:
    """A fraction with its 95 % Clopper-Pearson interval; None of nobody."""
    if not total:
        return None
    ends = binomtest(events, total).proportion_ci(CONFIDENCE, method="exact")
    return Rate(
        value=events / total,
        low=float(ends.low),
        high=float(ends.high),
        events=events,
        count=total,
    )


def error_rates(true: ArrayLike, estimates: ArrayLike, age: int, challenge: int) -> CheckRates:
    """The error rates of a check.

    Args:
        true: ``[N]`` ages in completed years.
        estimates: ``[N]`` years.
        age: the legal age.
        challenge: who is estimated at or above it passes.
    """
    years = np.asarray(true, float)
    passed = np.asarray(estimates, float) >= challenge
    under = years < age
    near = under & (years >= age - NEAR)
    return CheckRates(
        false_positive_rate=rate(int((under & passed).sum()), int(under.sum())),
        false_positive_rate_near=rate(int((near & passed).sum()), int(near.sum())),
        false_negative_rate=rate(int((~under & ~passed).sum()), int((~under).sum())),
    )


def lowest_challenge(
    true: ArrayLike, estimates: ArrayLike, age: int, bound: float, *, near: bool = False
) -> LowestChallenge:
    """The lowest challenge age, in whole years, that keeps the false positive rate in bounds.

    Args:
        true: ``[N]`` ages in completed years.
        estimates: ``[N]`` years.
        age: the legal age.
        bound: the largest rate allowed, 0 to 1.
        near: of those just under age alone (`NEAR`).
    """
    observed = assured = None
    for challenge in range(age, age + 61):
        rates = error_rates(true, estimates, age, challenge)
        figure = rates.false_positive_rate_near if near else rates.false_positive_rate
        if figure is None:
            break
        if observed is None and figure.value <= bound:
            observed = challenge
        if assured is None and figure.high <= bound:
            assured = challenge
    return LowestChallenge(bound=bound, observed=observed, assured=assured)


def reliability(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = BINS) -> Reliability:
    """How often what had a probability came true.

    Args:
        probabilities: ``[N]``, 0 to 1.
        outcomes: ``[N]`` bool.
        bins: of equal width.

    Returns:
        The expected calibration error, which is the mean distance of a bin's mean probability from
        its observed frequency, weighted by the bins' counts (Naeini et al., AAAI 2015), and every
        bin that has a member.
    """
    given = np.asarray(probabilities, float)
    happened = np.asarray(outcomes, bool)
    index = np.minimum((given * bins).astype(int), bins - 1)
    rows: list[ReliabilityBin] = []
    error = 0.0
    for number in np.unique(index):
        own = index == number
        observed = rate(int(happened[own].sum()), int(own.sum()))
        assert observed is not None, "a bin that is there has a member"
        mean = float(given[own].mean())
        error += own.mean() * abs(mean - observed.value)
        rows.append(
            ReliabilityBin(
                low=number / bins,
                high=(number + 1) / bins,
                mean_probability=mean,
                observed=observed,
            )
        )
    return Reliability(expected_calibration_error=float(error), bins=rows)


def at_least(
    distributions: NDArray[np.float64], ages: NDArray[np.float64], age: int
) -> NDArray[np.float64]:
    """Probability ``[N]`` of having completed `age` years; `Face.at_least` for many."""
    return np.asarray(distributions[:, ages >= age].sum(axis=1))


def measure_thresholds(
    true: pd.Series,
    estimates: pd.Series,
    groups: pd.DataFrame,
    probabilities: NDArray[np.float64],
    age: int = 18,
    bound: float = BOUND,
) -> Threshold:
    """Everything about one legal age.

    Args:
        true: ``[N]`` ages in completed years.
        estimates: ``[N]`` years, in the same order.
        groups: a column for each grouping; missing values form no group.
        probabilities: ``[N]``, of having reached `age`.
        age: the legal age.
        bound: the largest false positive rate allowed, 0 to 1.
    """
    members = {
        str(column): {
            str(value): (groups[column] == value).fillna(False).astype(bool).to_numpy()
            for value in sorted(groups[column].dropna().unique())
        }
        for column in groups
    }
    challenges = {
        challenge: Challenge(
            overall=error_rates(true, estimates, age, challenge),
            groups={
                column: {
                    value: error_rates(true[rows], estimates[rows], age, challenge)
                    for value, rows in values.items()
                }
                for column, values in members.items()
            },
        )
        for challenge in range(age, age + CHALLENGES + 1)
    }
    return Threshold(
        near=(max(0, age - NEAR), age - 1),
        challenges=challenges,
        lowest_challenge=lowest_challenge(true, estimates, age, bound),
        lowest_challenge_near=lowest_challenge(true, estimates, age, bound, near=True),
        reliability=reliability(probabilities, true.to_numpy(float) >= age),
    )


def parse_ages(text: str) -> Sequence[int]:
    """The legal ages of ``18,21,25``.

    Raises:
        ValueError: one is no whole number from 1 to 100.
    """
    ages = [int(part) for part in text.split(",")]
    if not all(1 <= age <= 100 for age in ages):
        raise ValueError(text)
    return ages

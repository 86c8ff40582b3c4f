"""How often an age check by estimate is wrong, and what the probabilities behind it are worth.

The rates are those of NIST's Face Analysis Technology Evaluation (NIST IR 8525): somebody under the
legal age who is estimated at or above the challenge age is a false positive, somebody of age who is
estimated below it a false negative. Their intervals are Clopper and Pearson's (Biometrika 1934),
which cover at least as often as they say, however rare the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from agelens.evaluation.metrics import CONFIDENCE, SMALL_GROUP

CHALLENGES = 12
"""Challenge ages are the legal age to so many years above it: 18 to 30."""
NEAR = 4
"""False positives are also counted among those at most so many years under age: 14 to 17. A
dataset's babies make the whole rate look better than the check is."""
BOUND = 0.05
BINS = 10


def rate(count: int, total: int) -> dict[str, Any] | None:
    """A share with its 95 % Clopper-Pearson interval; None of nobody.

    Returns:
        ``{"value", "low", "high", "errors", "count"}``.
    """
    if not total:
        return None
    ends = binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    return {
        "value": count / total,
        "low": float(ends.low),
        "high": float(ends.high),
        "errors": count,
        "count": total,
    }


def error_rates(true: ArrayLike, estimates: ArrayLike, age: int, challenge: int) -> dict[str, Any]:
    """The error rates of a check.

    Args:
        true: ``[N]`` ages in completed years.
        estimates: ``[N]`` years.
        age: the legal age.
        challenge: who is estimated at or above it passes.

    Returns:
        `rate` for ``false_positive_rate``, the same ``…_near`` the legal age (`NEAR`), and
        ``false_negative_rate``.
    """
    years = np.asarray(true, float)
    passed = np.asarray(estimates, float) >= challenge
    under = years < age
    near = under & (years >= age - NEAR)
    return {
        "false_positive_rate": rate(int((under & passed).sum()), int(under.sum())),
        "false_positive_rate_near": rate(int((near & passed).sum()), int(near.sum())),
        "false_negative_rate": rate(int((~under & ~passed).sum()), int((~under).sum())),
    }


def least_challenge(
    true: ArrayLike, estimates: ArrayLike, age: int, bound: float, *, near: bool = False
) -> dict[str, Any]:
    """The lowest challenge age, in whole years, that keeps the false positive rate in bounds.

    Args:
        true: ``[N]`` ages in completed years.
        estimates: ``[N]`` years.
        age: the legal age.
        bound: the largest rate allowed, 0 to 1.
        near: of those just under age alone (`NEAR`).

    Returns:
        ``observed``: by the rate itself; ``assured``: by the upper end of its interval. None where
        no age up to 60 years above the legal one does it.
    """
    found: dict[str, int | None] = {"observed": None, "assured": None}
    name = "false_positive_rate_near" if near else "false_positive_rate"
    for challenge in range(age, age + 61):
        figure = error_rates(true, estimates, age, challenge)[name]
        for key, end in (("observed", "value"), ("assured", "high")):
            if figure is not None and found[key] is None and figure[end] <= bound:
                found[key] = challenge
    return {"bound": bound, **found}


def reliability(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = BINS) -> dict[str, Any]:
    """What becomes true of what was probable.

    Args:
        probabilities: ``[N]``, 0 to 1.
        outcomes: ``[N]`` bool.
        bins: of equal width.

    Returns:
        ``expected_calibration_error``: mean distance of stated and observed shares, weighted by
        the bins' counts (Naeini et al., AAAI 2015); ``bins``: a row for each that has any.
    """
    stated = np.asarray(probabilities, float)
    happened = np.asarray(outcomes, bool)
    index = np.minimum((stated * bins).astype(int), bins - 1)
    rows: list[dict[str, Any]] = []
    error = 0.0
    for number in np.unique(index):
        own = index == number
        observed = rate(int(happened[own].sum()), int(own.sum()))
        assert observed is not None, "a bin that is there has a member"
        mean = float(stated[own].mean())
        error += own.mean() * abs(mean - observed["value"])
        rows.append(
            {"from": number / bins, "to": (number + 1) / bins, "stated": mean, "observed": observed}
        )
    return {"expected_calibration_error": float(error), "bins": rows}


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
) -> dict[str, Any]:
    """Everything about one legal age.

    Args:
        true: ``[N]`` ages in completed years.
        estimates: ``[N]`` years, in the same order.
        groups: a column for each grouping; missing values form no group.
        probabilities: ``[N]``, of having reached `age`.
        age: the legal age.
        bound: the largest false positive rate allowed, 0 to 1.

    Returns:
        ``challenges``: {challenge age: {"overall": rates, "groups": {column: {value: rates}}}} (see
        `error_rates`; a group of fewer than `SMALL_GROUP` under or of age is ``small``);
        ``least_challenge`` of all under age and ``least_challenge_near``; ``reliability``.
    """
    sides = {
        column: {
            str(value): (rows.to_numpy(), int((true[rows] < age).sum()), int(rows.sum()))
            for value in sorted(groups[column].dropna().unique())
            for rows in [(groups[column] == value).fillna(False).astype(bool)]
        }
        for column in groups
    }
    challenges: dict[str, Any] = {}
    for challenge in range(age, age + CHALLENGES + 1):
        by_group = {
            column: {
                value: error_rates(true[rows], estimates[rows], age, challenge)
                | {"small": min(under, count - under) < SMALL_GROUP}
                for value, (rows, under, count) in values.items()
            }
            for column, values in sides.items()
        }
        overall = error_rates(true, estimates, age, challenge)
        challenges[str(challenge)] = {"overall": overall, "groups": by_group}
    return {
        "near": [max(0, age - NEAR), age - 1],
        "challenges": challenges,
        "least_challenge": least_challenge(true, estimates, age, bound),
        "least_challenge_near": least_challenge(true, estimates, age, bound, near=True),
        "reliability": reliability(probabilities, true.to_numpy(float) >= age),
    }


def parse_ages(text: str) -> Sequence[int]:
    """The legal ages of ``18,21,25``.

    Raises:
        ValueError: one is no whole number from 1 to 100.
    """
    ages = [int(part) for part in text.split(",")]
    if not all(1 <= age <= 100 for age in ages):
        raise ValueError(text)
    return ages

"""The conditions of the robustness test, and the figures of the estimates in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.errors import DataError
from agelens.evaluation.measured import (
    CleanFigures,
    ConditionFigures,
    ConditionMeans,
    CorruptionKind,
    Corruptions,
    Means,
)
from agelens.evaluation.robustness.corruptions import CORRUPTIONS, LANDMARK_JITTER

JITTER = "detector_jitter"
KINDS = (*CORRUPTIONS, JITTER)
"""Names of all kinds."""
SPANS = {"1-3": (1, 2, 3), "1-5": (1, 2, 3, 4, 5)}
"""Severities that means are taken over."""
COLUMNS = ("predicted", "low", "high")
"""What is kept of a face in a condition, in years."""


class Condition(NamedTuple):
    """A kind of corruption at one severity."""

    kind: str
    severity: int


CLEAN = Condition("clean", 0)


def amount(condition: Condition) -> float:
    """How much of its kind a condition has, in the kind's unit."""
    amounts = LANDMARK_JITTER if condition.kind == JITTER else CORRUPTIONS[condition.kind].amounts
    return amounts[condition.severity - 1]


def summarise(
    tables: dict[Condition, pd.DataFrame],
    ages: NDArray[np.float64],
    kinds: Sequence[str],
    severities: Sequence[int],
    *,
    seed: int,
    nominal_coverage: float,
) -> Corruptions:
    """The figures of every kind at every severity, beside those of the clean pictures.

    Args:
        tables: for every condition its estimates, a row a picture, of `COLUMNS`.
        ages: true ages of the pictures in years, ``[N]``.
        kinds: of `KINDS`, which `tables` has at all `severities`.
        severities: from 1.
        seed: of the sample and the noise.
        nominal_coverage: of the intervals.

    Raises:
        DataError: no face was found in any clean picture.
    """
    clean = tables[CLEAN]
    figures = _figures(clean, ages)
    if not figures.count:
        raise DataError("no face was found in any clean picture: there is nothing to compare with")
    measured = {}
    for kind in kinds:
        own = {
            severity: _compare(Condition(kind, severity), tables, ages) for severity in severities
        }
        unit = "sigma / face" if kind == JITTER else CORRUPTIONS[kind].unit
        measured[kind] = CorruptionKind(unit=unit, severities=own, means=_means([own]))
    return Corruptions(
        seed=seed,
        pictures=len(ages),
        nominal_coverage=nominal_coverage,
        clean=figures,
        kinds=measured,
        means=_means([kind.severities for kind in measured.values()]),
    )


def _figures(table: pd.DataFrame, ages: NDArray[np.float64]) -> CleanFigures:
    predicted, low, high = (table[name].to_numpy(float) for name in COLUMNS)
    found = ~np.isnan(predicted)
    count, miss_rate = int(found.sum()), float(1 - found.mean())
    if not count:
        return CleanFigures(count=0, miss_rate=miss_rate, mae=None, bias=None, coverage=None)
    inside = ((low <= ages) & (ages <= high))[found]
    return CleanFigures(
        count=count,
        miss_rate=miss_rate,
        mae=_mae(table, ages),
        bias=float((predicted - ages)[found].mean()),
        coverage=float(inside.mean()),
    )


def _compare(
    condition: Condition, tables: dict[Condition, pd.DataFrame], ages: NDArray[np.float64]
) -> ConditionFigures:
    """The figures of a corruption, and its MAE over the clean one: of all, and of the same."""
    table, clean = tables[condition], tables[CLEAN]
    both = (table["predicted"].notna() & clean["predicted"].notna()).to_numpy()
    return ConditionFigures(
        amount=amount(condition),
        ratio=_ratio(table, clean, ages),
        ratio_same_faces=_ratio(table[both], clean[both], ages[both]),
        **_figures(table, ages).model_dump(),
    )


def _mae(table: pd.DataFrame, ages: NDArray[np.float64]) -> float | None:
    """Mean absolute error of the faces that were found; None where there are none."""
    errors = table["predicted"].to_numpy(float) - ages
    found = ~np.isnan(errors)
    return float(np.abs(errors[found]).mean()) if found.any() else None


def _ratio(table: pd.DataFrame, clean: pd.DataFrame, ages: NDArray[np.float64]) -> float | None:
    worse, better = _mae(table, ages), _mae(clean, ages)
    return worse / better if worse is not None and better else None


def _means(kinds: list[dict[int, ConditionFigures]]) -> Means:
    """Means over conditions; those in which nothing was found have no error to add."""
    means: Means = {}
    for span, levels in SPANS.items():
        if not all(level in kind for kind in kinds for level in levels):
            means[span] = None
            continue
        figures = [kind[level] for kind in kinds for level in levels]
        means[span] = ConditionMeans(
            mae=_mean([one.mae for one in figures]),
            ratio=_mean([one.ratio for one in figures]),
            miss_rate=_mean([one.miss_rate for one in figures]),
            coverage=_mean([one.coverage for one in figures]),
        )
    return means


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None

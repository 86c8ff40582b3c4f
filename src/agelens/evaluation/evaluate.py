"""`agelens evaluate`: every figure of the estimates of a split, as one typed result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from agelens import __version__
from agelens.ages import age_band
from agelens.errors import DataError
from agelens.evaluation.bands import measure_bands
from agelens.evaluation.groups import CROSSED, crossed, crossings, standardise_groups
from agelens.evaluation.measured import (
    Comparison,
    ConstantGuess,
    Corruptions,
    EstimatedBand,
    Groups,
    IntervalLevel,
    Intervals,
    Metrics,
    Threshold,
)
from agelens.evaluation.metrics import group_columns, measure
from agelens.evaluation.predictions import distributions_of
from agelens.evaluation.results import Evaluation, Subject
from agelens.evaluation.thresholds import BOUND, at_least, measure_thresholds, rate
from agelens.pipeline.calibration import Calibration, intervals
from agelens.pipeline.model import AgeModel

CUMULATIVE = 20
"""The cumulative score goes to so many years."""
NOMINAL = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def evaluate(
    predictions: pd.DataFrame,
    subject: Subject,
    *,
    calibration: Calibration | None = None,
    thresholds: Sequence[int] = (),
    bound: float = BOUND,
    compared: Comparison | None = None,
    corruptions: Corruptions | None = None,
) -> Evaluation:
    """Measure the estimates of a split.

    Args:
        predictions: from `predict_split`.
        subject: what they are of.
        calibration: of the model, for intervals of other nominal coverages.
        thresholds: legal ages whose checks are measured; see `measure_thresholds`.
        bound: the largest false positive rate of such a check, 0 to 1.
        compared: from `compare`, with another model.
        corruptions: from `evaluate_corruptions`.

    Raises:
        DataError: no face was found in any picture.
    """
    found = predictions[predictions["predicted"].notna()]
    if found.empty:
        raise DataError("no face was found in any picture: there is nothing to measure")
    missed = predictions[predictions["predicted"].isna()]
    exact, banded = found[found["age"].notna()], found[found["age"].isna()]
    ages: dict[str, Any]
    if len(exact):
        ages = _measure_ages(exact, calibration, thresholds, bound)
    else:
        ages = {"overall": Metrics(count=0), "whole_years": Metrics(count=0)}
    return Evaluation(
        **subject.model_dump(),
        agelens=__version__,
        images=len(predictions),
        missed=missed["path"].tolist(),
        miss_rate=len(missed) / len(predictions),
        nominal_coverage=found["face"].iloc[0].interval.coverage,
        bands=measure_bands(banded) if len(banded) else None,
        compared=compared,
        corruptions=corruptions,
        **ages,
    )


def _measure_ages(
    found: pd.DataFrame, calibration: Calibration | None, thresholds: Sequence[int], bound: float
) -> dict[str, Any]:
    """The fields of the result that need labels in years."""
    columns = group_columns(found)
    true = found["age"].astype(float)
    overall, groups = measure(
        true, found["predicted"], columns, low=found["low"], high=found["high"]
    )
    whole_years, _ = measure(
        true, found["predicted"].round(), columns[[]], metrics=("mae", "within_5")
    )
    errors = np.abs(found["predicted"] - true)
    return {
        "overall": overall,
        "constant_guess": constant_guess(true),
        "groups": groups,
        "crossings": crossings(found),
        "standardised": standardise_groups(found),
        "quality": measure_quality(found),
        "whole_years": whole_years,
        "cumulative_score": [float((errors <= years).mean()) for years in range(CUMULATIVE + 1)],
        "intervals": None if calibration is None else measure_intervals(found, calibration),
        "thresholds": {age: _threshold(found, columns, age, bound) for age in thresholds},
    }


def calibrated_on(model: AgeModel, predictions: pd.DataFrame) -> int | None:
    """How many of these pictures the model's calibration was learnt from; None if unknown."""
    if model.metadata["calibration"] and not model.pictures:
        return None
    return int(model.calibrated_on(predictions["sha256"]).sum())


def constant_guess(true: pd.Series) -> ConstantGuess:
    """What an estimator errs by that says the median age of these labels of every face.

    No constant has a lower mean absolute error on these faces, so that a model which is hardly
    better has learnt nothing.
    """
    median = float(true.median())
    return ConstantGuess(age=median, mae=float((true - median).abs().mean()))


def _threshold(found: pd.DataFrame, columns: pd.DataFrame, age: int, bound: float) -> Threshold:
    distributions, ages = distributions_of(found)
    groups = columns[["gender", "ethnicity"]]
    groups = pd.concat([groups, crossed(groups)], axis=1)
    true = found["age"].astype(float)
    probabilities = at_least(distributions, ages, age)
    return measure_thresholds(true, found["predicted"], groups, probabilities, age, bound)


def measure_quality(found: pd.DataFrame) -> Groups:
    """Error and coverage of faces without any reason to doubt their quality, and with each."""
    reasons = [face.quality.reasons for face in found["face"]]
    kinds = {"good": [not own for own in reasons], "any reason": [bool(own) for own in reasons]}
    for reason in sorted({reason for own in reasons for reason in own}):
        kinds[reason] = [reason in own for own in reasons]
    table = {}
    for kind, which in kinds.items():
        rows = found[which]
        if len(rows):
            table[kind], _ = measure(
                rows["age"].astype(float),
                rows["predicted"],
                pd.DataFrame(index=rows.index),
                low=rows["low"],
                high=rows["high"],
                metrics=CROSSED,
            )
    return table


def measure_intervals(found: pd.DataFrame, calibration: Calibration) -> Intervals:
    """`interval_reliability` of all faces, and by the age band of the estimate."""
    bands = pd.Series(age_band(found["predicted"].to_numpy(float)), index=found.index)
    estimated = {
        str(band): EstimatedBand(count=len(rows), levels=interval_reliability(rows, calibration))
        for band, rows in found.groupby(bands)
    }
    return Intervals(levels=interval_reliability(found, calibration), estimated=estimated)


def interval_reliability(found: pd.DataFrame, calibration: Calibration) -> list[IntervalLevel]:
    """How often intervals of each nominal coverage hold the true age.

    Args:
        found: rows of `predict_split` with a face.
        calibration: of the model.

    Returns:
        A level for each nominal coverage from 50 to 95 %.
    """
    distributions, ages = distributions_of(found)
    true = found["age"].to_numpy(float)
    table = []
    for nominal in NOMINAL:
        low, high = intervals(distributions, ages, calibration, nominal).T
        inside = int(((low <= true) & (true <= high)).sum())
        observed = rate(inside, len(true))
        assert observed is not None, "no face was found, which was refused before"
        width = float((high - low).mean())
        table.append(IntervalLevel(nominal=nominal, observed=observed, width=width))
    return table

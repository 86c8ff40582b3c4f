"""`agelens evaluate`: a model file on a split, through the estimator that serves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens import __version__
from agelens.ages import age_band
from agelens.data.manifest import Dataset
from agelens.errors import DataError, ImageError
from agelens.estimator import AgeEstimator
from agelens.evaluation.bands import measure_bands
from agelens.evaluation.groups import CROSSED, crossed, crossings, standardise_groups
from agelens.evaluation.journal import Journal
from agelens.evaluation.metrics import SMALL_GROUP, group_columns, measure
from agelens.evaluation.thresholds import BOUND, at_least, measure_thresholds, rate
from agelens.parallel import Progress, default_jobs, map_in_order, silent
from agelens.pipeline.calibration import Calibration, intervals
from agelens.pipeline.detect import main_face

CUMULATIVE = 20
"""The cumulative score goes to so many years."""
NOMINAL = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def predict_split(
    model: str | Path,
    dataset: Dataset,
    split: str,
    *,
    bands: bool = False,
    jobs: int | None = None,
    coverage: float = 0.9,
    calibration: Calibration | None = None,
    journal: Journal | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Estimate every picture of a split from its file, detection included.

    Args:
        model: a model file, or a shipped model's name.
        dataset: a prepared dataset.
        split: "validation", "calibration", "test" or "train".
        bands: keep pictures whose label is a band of ages.
        jobs: pictures in work at once; by default one for each processor.
        coverage: of the intervals.
        calibration: to use instead of the model's own.
        journal: of finished pictures, which are not estimated again.
        progress: called with the number of pictures done and their total.

    Returns:
        The split's rows (those that `usable` with ``missed=True`` names) with the columns ``face``
        (a `Face`), ``predicted``, ``low`` and ``high``, years; all missing where no face was found.

    Raises:
        DataError: the split is empty, or a picture changed.
    """
    rows = dataset.part(split, missed=True, bands=bands)
    if rows.empty:
        wanted = "usable picture" if bands else "usable picture with an age in years"
        raise DataError(f"{dataset.folder}: the {split} part holds no {wanted}")
    estimator = AgeEstimator(model, threads=1, coverage=coverage, calibration=calibration)
    known = journal.read() if journal is not None else {}
    left = rows[~rows["path"].isin(list(known))]
    paths = [str(dataset.root / path) for path in left["path"]]
    results = map_in_order(estimator.estimate, paths, jobs=jobs or default_jobs())
    progress(len(known), len(rows))
    try:
        facts = zip(
            left["path"], left["width"].astype(int), left["height"].astype(int), strict=True
        )
        for (path, width, height), (_, faces) in zip(facts, results, strict=True):
            known[path] = main_face(faces, width, height)
            if journal is not None:
                journal.add(path, known[path])
            progress(len(known), len(rows))
    except ImageError as error:
        raise DataError(f"the dataset changed since it was prepared: {error}") from error
    found = [known[path] for path in rows["path"]]
    columns = {
        "predicted": [None if face is None else face.age for face in found],
        "low": [None if face is None else face.interval.low for face in found],
        "high": [None if face is None else face.interval.high for face in found],
    }
    numbers = {name: pd.Series(values, dtype="float64") for name, values in columns.items()}
    return rows.assign(face=pd.Series(found, dtype=object), **numbers)


def distributions_of(found: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distributions ``[N, K]`` of rows whose face was found, over the ages ``[K]``."""
    faces = found["face"].tolist()
    return np.stack([face.distribution for face in faces]), faces[0].ages


def evaluate(
    predictions: pd.DataFrame,
    *,
    calibration: Calibration | None = None,
    thresholds: Sequence[int] = (),
    bound: float = BOUND,
) -> dict[str, Any]:
    """Measure the estimates of `predict_split`.

    Args:
        predictions: from `predict_split`.
        calibration: of the model, for intervals of other nominal coverages.
        thresholds: legal ages whose checks are measured; see `measure_thresholds`.
        bound: the largest false positive rate of such a check, 0 to 1.

    Returns:
        Of pictures whose age is known in years: ``overall`` and ``groups`` of `measure`;
        ``coverage`` that the intervals should have; ``crossings`` and ``standardised`` of
        `agelens.evaluation.groups`; ``quality``; ``whole_years``: two metrics of ages rounded as
        the labels are, which is how classifiers of ages are measured; ``cumulative_score``: the
        share of errors of at most 0, 1, … years; ``intervals`` with a `calibration` (see
        `measure_intervals`); ``thresholds`` by age. Of those whose label is a band: ``bands`` of
        `measure_bands`. Of all: ``images``, ``missed`` (paths) and ``miss_rate``; the version of
        ``agelens``.

    Raises:
        DataError: no face was found in any picture.
    """
    found = predictions[predictions["predicted"].notna()]
    if found.empty:
        raise DataError("no face was found in any picture: there is nothing to measure")
    missed = predictions[predictions["predicted"].isna()]
    exact, banded = found[found["age"].notna()], found[found["age"].isna()]
    report: dict[str, Any] = {}
    if len(exact):
        report |= _measure_ages(exact, calibration, thresholds, bound)
    if len(banded):
        report["bands"] = measure_bands(banded)
    report["images"] = len(predictions)
    report["missed"] = missed["path"].tolist()
    report["miss_rate"] = len(missed) / max(1, len(predictions))
    report["agelens"] = __version__
    return report


def _measure_ages(
    found: pd.DataFrame, calibration: Calibration | None, thresholds: Sequence[int], bound: float
) -> dict[str, Any]:
    groups = group_columns(found)
    true = found["age"].astype(float)
    report = measure(true, found["predicted"], groups, low=found["low"], high=found["high"])
    errors = np.abs(found["predicted"] - true)
    report |= {
        "coverage": found["face"].iloc[0].interval.coverage,
        "crossings": crossings(found),
        "standardised": standardise_groups(found),
        "quality": measure_quality(found),
        "whole_years": measure(
            true, found["predicted"].round(), groups[[]], metrics=("mae", "within_5")
        )["overall"],
        "cumulative_score": [float((errors <= years).mean()) for years in range(CUMULATIVE + 1)],
    }
    if calibration is not None:
        report["intervals"] = measure_intervals(found, calibration)
    if thresholds:
        distributions, ages = distributions_of(found)
        both = groups[["gender", "ethnicity"]]
        both = pd.concat([both, crossed(both)], axis=1)
        report["thresholds"] = {
            str(age): measure_thresholds(
                true,
                found["predicted"],
                both,
                at_least(distributions, ages, age),
                age,
                bound,
            )
            for age in thresholds
        }
    return report


def measure_quality(found: pd.DataFrame) -> dict[str, Any]:
    """Error and coverage of faces without any reason to doubt their quality, and with each."""
    reasons = [face.quality.reasons for face in found["face"]]
    kinds = {"good": [not own for own in reasons], "any reason": [bool(own) for own in reasons]}
    for reason in sorted({reason for own in reasons for reason in own}):
        kinds[reason] = [reason in own for own in reasons]
    table = {}
    for kind, which in kinds.items():
        rows = found[which]
        if len(rows):
            table[kind] = measure(
                rows["age"].astype(float),
                rows["predicted"],
                pd.DataFrame(index=rows.index),
                low=rows["low"],
                high=rows["high"],
                metrics=CROSSED,
            )["overall"]
    return table


def measure_intervals(found: pd.DataFrame, calibration: Calibration) -> dict[str, Any]:
    """`interval_reliability` of all faces, and by the age band of the estimate.

    Returns:
        ``{"levels": …, "estimated": {band: {"count", "small", "levels": …}}}``.
    """
    bands = pd.Series(age_band(found["predicted"].to_numpy(float)), index=found.index)
    estimated = {
        str(band): {
            "count": len(rows),
            "small": len(rows) < SMALL_GROUP,
            "levels": interval_reliability(rows, calibration),
        }
        for band, rows in found.groupby(bands)
    }
    return {"levels": interval_reliability(found, calibration), "estimated": estimated}


def interval_reliability(found: pd.DataFrame, calibration: Calibration) -> list[dict[str, Any]]:
    """How often intervals of each nominal coverage hold the true age.

    Args:
        found: rows of `predict_split` with a face.
        calibration: of the model.

    Returns:
        ``nominal``, ``observed`` with its 95 % interval, and mean ``width`` in years, for nominal
        coverages of 50 to 95 %.
    """
    distributions, ages = distributions_of(found)
    true = found["age"].to_numpy(float)
    table = []
    for nominal in NOMINAL:
        low, high = intervals(distributions, ages, calibration, nominal).T
        inside = int(((low <= true) & (true <= high)).sum())
        table.append(
            {
                "nominal": nominal,
                "observed": rate(inside, len(true)),
                "width": float((high - low).mean()),
            }
        )
    return table

"""`agelens evaluate`: a model file on a split, through the estimator that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens import __version__
from agelens.batch import default_jobs, map_in_order
from agelens.calibrate import Calibration
from agelens.data.manifest import Dataset
from agelens.data.scan import main_face
from agelens.errors import DataError, ImageError
from agelens.estimator import AgeEstimator
from agelens.evaluation.metrics import age_band, measure
from agelens.progress import Progress, silent
from agelens.types import Face


def predict_split(
    model: str | Path,
    dataset: Dataset,
    split: str,
    *,
    jobs: int | None = None,
    coverage: float = 0.9,
    calibration: Calibration | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Estimate every picture of a split from its file, detection included.

    Args:
        model: a model file, or a shipped model's name.
        dataset: a prepared dataset.
        split: "validation", "calibration", "test" or "train".
        jobs: pictures in work at once; by default one for each processor.
        coverage: of the intervals.
        calibration: to use instead of the model's own.
        progress: called with the number of pictures done and their total.

    Returns:
        The split's rows (those that `usable` with ``missed=True`` names) with the columns ``face``
        (a `Face`), ``predicted``, ``low`` and ``high``, years; all missing where no face was found.

    Raises:
        DataError: the split is empty, or a picture changed.
    """
    rows = dataset.part(split, missed=True)
    if rows.empty:
        raise DataError(f"{dataset.folder}: the {split} part holds no usable picture")
    estimator = AgeEstimator(model, threads=1, coverage=coverage)
    if calibration is not None:
        estimator.model.calibration = calibration
    paths = [str(dataset.root / path) for path in rows["path"]]
    found: list[Face | None] = []
    results = map_in_order(estimator.estimate, paths, jobs=jobs or default_jobs())
    try:
        sizes = zip(rows["width"].astype(int), rows["height"].astype(int), strict=True)
        for (width, height), (_, faces) in zip(sizes, results, strict=True):
            face = main_face(faces, width, height)
            found.append(face)
            progress(len(found), len(rows))
    except ImageError as error:
        raise DataError(f"the dataset changed since it was prepared: {error}") from error
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


def evaluate(predictions: pd.DataFrame) -> dict[str, Any]:
    """Measure the estimates of `predict_split`; see `measure` for the form.

    Raises:
        DataError: no face was found in any picture.
    """
    found = predictions[predictions["predicted"].notna()]
    if found.empty:
        raise DataError("no face was found in any picture: there is nothing to measure")
    groups = pd.DataFrame(
        {
            "age": age_band(found["age"].to_numpy(int)),
            "gender": found["gender"].array,
            "ethnicity": found["ethnicity"].array,
        },
        index=found.index,
    )
    missed = predictions[predictions["predicted"].isna()]
    report = measure(found["age"].astype(float), found["predicted"], groups)
    report["images"] = len(predictions)
    report["missed"] = missed["path"].tolist()
    report["miss_rate"] = len(missed) / max(1, len(predictions))
    report["agelens"] = __version__
    return report

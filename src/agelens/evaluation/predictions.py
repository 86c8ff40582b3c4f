"""The estimates that an evaluation measures: every picture of a split, from its file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens import __version__
from agelens.data.cache import keyed_path
from agelens.data.manifest import Dataset
from agelens.errors import DataError, ImageError
from agelens.estimator import AgeEstimator
from agelens.journal import Journal
from agelens.parallel import Progress, default_jobs, map_in_order, silent
from agelens.pipeline.detect import main_face
from agelens.types import Face


def predict_split(
    estimator: AgeEstimator,
    dataset: Dataset,
    split: str,
    *,
    bands: bool = False,
    jobs: int | None = None,
    folder: Path | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Estimate every picture of a split from its file, detection included.

    Args:
        estimator: with one thread for each picture, since `jobs` pictures are in work at once.
        dataset: a prepared dataset.
        split: "validation", "calibration", "test" or "train".
        bands: keep pictures whose label is a band of ages.
        jobs: pictures in work at once; by default one for each processor.
        folder: where finished pictures are written down, so that a run which was cut off goes on.
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
    if folder is None:
        known = _estimate(estimator, dataset, rows, {}, None, jobs, progress)
    else:
        journal = _journal(folder, estimator, dataset, split)
        ages = np.asarray(estimator.model.ages, np.float64)
        known = {record["path"]: _face(record["face"], ages) for record in journal.records}
        with journal:
            known = _estimate(estimator, dataset, rows, known, journal, jobs, progress)
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


def _estimate(
    estimator: AgeEstimator,
    dataset: Dataset,
    rows: pd.DataFrame,
    known: dict[str, Face | None],
    journal: Journal | None,
    jobs: int | None,
    progress: Progress,
) -> dict[str, Face | None]:
    """The face of every picture, by its path; those that are `known` are not estimated again."""
    left = rows[~rows["path"].isin(list(known))]
    pictures: Iterable[Any] = left.itertuples()
    results = map_in_order(
        lambda row: estimator.estimate(str(dataset.picture(row))),
        pictures,
        jobs=jobs or default_jobs(),
    )
    progress(len(known), len(rows))
    try:
        for row, faces in results:
            face = known[row.path] = main_face(faces, int(row.width), int(row.height))
            if journal is not None:
                journal.add({"path": row.path, "face": _record(face)})
            progress(len(known), len(rows))
    except ImageError as error:
        raise DataError(f"the dataset changed since it was prepared: {error}") from error
    return known


def _journal(folder: Path, estimator: AgeEstimator, dataset: Dataset, split: str) -> Journal:
    facts = {
        "agelens": __version__,
        "model": estimator.model.digest,
        "calibration": estimator.calibration.to_dict(),
        "dataset": dataset.digest,
        "split": split,
        "coverage": estimator.coverage,
        "min_score": estimator.min_score,
    }
    return Journal(keyed_path(folder, "predictions", ".jsonl", **facts), facts)


def _record(face: Face | None) -> dict[str, Any] | None:
    if face is None:
        return None
    return face.to_dict() | {"distribution": face.distribution.tolist()}


def _face(record: dict[str, Any] | None, ages: NDArray[np.float64]) -> Face | None:
    if record is None:
        return None
    face = Face.from_dict(record)
    return Face(
        face.age,
        face.interval,
        face.box,
        face.landmarks,
        face.score,
        face.quality,
        np.array(record["distribution"]),
        ages,
    )

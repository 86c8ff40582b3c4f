"""One row of measures for every picture: our own, cleanvision's, and held-out predictions."""

from __future__ import annotations

import contextlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from cleanvision import Imagelab
from joblib import Parallel, delayed
from numpy.typing import NDArray

from agelens.data.cache import cached_table, keyed_path
from agelens.data.landmarks import landmarks_of
from agelens.data.manifest import Dataset
from agelens.explore.measures import measure
from agelens.explore.statistics import label_quality
from agelens.parallel import Progress
from agelens.pipeline.align import align_face
from agelens.pipeline.images import load_image
from agelens.pipeline.model import AgeModel

TABLE_VERSION = 1
"""Raised whenever a measure changes, so that an older table is not read."""
ISSUES = ("dark", "light", "blurry", "low_information", "odd_aspect_ratio")
"""What cleanvision is asked for beside odd sizes; the manifest has duplicates and grey already."""
PART = 500
CHUNK = 256


def measures_of(dataset: Dataset, *, jobs: int, progress: Progress) -> pd.DataFrame:
    """Measures of every readable picture, from the cache beside the manifest when it is there.

    Args:
        dataset: a prepared dataset.
        jobs: pictures in work at once.
        progress: called with the number of pictures done and their total, for each pass anew.

    Returns:
        A row for each readable picture, by the manifest's index: the columns of `measure`, and
        cleanvision's scores and flags.
    """
    facts = {"version": TABLE_VERSION, "dataset": dataset.digest}
    path = keyed_path(dataset.folder / "cache", "measures", ".parquet", **facts)
    rows = dataset.manifest[~dataset.manifest["unreadable"]]
    return cached_table(
        path,
        lambda: _issues(dataset, rows, jobs, progress).join(_own(dataset, rows, jobs, progress)),
    )


def _own(dataset: Dataset, rows: pd.DataFrame, jobs: int, progress: Progress) -> pd.DataFrame:
    def task(row: Any) -> Any:
        landmarks = None if row.landmarks is None else landmarks_of(row)
        return delayed(_measured)(dataset.root / row.path, landmarks, row.box, dataset.template)

    work = map(task, rows.itertuples())
    measured: list[dict[str, Any]] = []
    # Processes: the measures are many small calls, between which threads wait for one another.
    for values in Parallel(jobs, return_as="generator")(work):
        measured.append(values)
        progress(len(measured), len(rows))
    return pd.DataFrame(measured, index=rows.index)


def _measured(path: Path, *facts: Any) -> dict[str, Any]:
    cv2.setNumThreads(1)
    return measure(load_image(path), *facts)


def _issues(dataset: Dataset, rows: pd.DataFrame, jobs: int, progress: Progress) -> pd.DataFrame:
    """What cleanvision finds, in parts: given all pictures, it sends their names with each four."""
    paths = [str(dataset.root / path) for path in rows["path"]]
    starts = range(0, len(paths), PART)
    work = (delayed(_cleanvision)(paths[start : start + PART], ISSUES) for start in starts)
    found: list[pd.DataFrame] = []
    for part in Parallel(jobs, return_as="generator")(work):
        found.append(part)
        progress(min(len(found) * PART, len(paths)), len(paths))
    sizes = _cleanvision(paths, ("odd_size",))  # compares a picture with all others
    table: pd.DataFrame = pd.concat(found).join(sizes).loc[paths]
    return table.set_axis(rows.index)


def _cleanvision(paths: list[str], issues: tuple[str, ...]) -> pd.DataFrame:
    sink = io.StringIO()  # it prints even when told not to
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        lab = Imagelab(filepaths=paths)
        lab.find_issues({issue: {} for issue in issues}, n_jobs=1, verbose=False)
    found: pd.DataFrame = lab.issues
    return found


def held_out_predictions(
    dataset: Dataset, model: str, *, jobs: int, progress: Progress
) -> tuple[pd.DataFrame, AgeModel]:
    """A model's predictions of the pictures that it did not learn from, beside their labels.

    Of the sources that a model learnt from, the training part is left out, because it has seen
    those labels, and the test part, so that nobody chooses by it. Labels that are bands of ages
    are left out, too.

    Returns:
        Rows by the manifest's index: the columns of `label_quality`, the lowest quality first; and
        the model.
    """
    age_model = AgeModel(model)
    rows, about = dataset.manifest, age_model.metadata
    learnt = rows["source"].isin([source["name"] for source in about.get("data", [])])
    learnt |= about["training"]["manifest"] == dataset.digest
    asked = rows["age"].notna() & rows["landmarks"].notna() & ~rows["implausible_landmarks"]
    asked &= ~learnt | rows["split"].isin(["validation", "calibration"])
    rows = rows[asked]

    def crop(row: Any) -> NDArray[np.uint8]:
        image = load_image(dataset.root / row.path)
        return align_face(image, landmarks_of(row), age_model.template, age_model.size)

    parts = [np.empty((0, len(age_model.ages)), np.float32)]
    with ThreadPoolExecutor(jobs) as pool:
        for start in range(0, len(rows), CHUNK):
            chunk = rows.iloc[start : start + CHUNK]
            parts.append(age_model.predict(np.stack(list(pool.map(crop, chunk.itertuples())))))
            progress(start + len(chunk), len(rows))
    distribution = np.concatenate(parts).astype(float)
    labels = rows["age"].to_numpy(float)
    found = label_quality(labels, distribution, age_model.ages.astype(float))
    found = found.set_axis(rows.index)
    return found.sort_values(["label_quality", "error"], key=_order), age_model


def _order(column: pd.Series) -> pd.Series:
    return -column.abs() if column.name == "error" else column.round(4)

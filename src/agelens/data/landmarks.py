"""Where the landmarks of faces lie, beside the template that crops are aligned to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.pipeline.align import ALIGNMENT_POINTS, fit_similarity
from agelens.types import Landmarks


def landmarks_of(row: Any) -> Landmarks:
    """The landmarks of one manifest row (a named tuple of `DataFrame.itertuples`)."""
    return Landmarks.from_array(np.asarray(row.landmarks).reshape(-1, 2))


def alignment_points(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Alignment landmarks ``[N, 4, 2]`` as fractions of the longer side; NaN without a face."""
    points = np.full((len(frame), ALIGNMENT_POINTS, 2), np.nan)
    found = frame["landmarks"].notna().to_numpy()
    if found.any():
        values = np.stack(frame.loc[found, "landmarks"].to_list()).reshape(-1, 6, 2)
        sides = frame.loc[found, ["width", "height"]].to_numpy(float).max(axis=1)
        points[found] = values[:, :ALIGNMENT_POINTS] / sides[:, None, None]
    return points


def template_residuals(
    points: NDArray[np.float64], template: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Root mean square distance of each face's landmarks from the fitted template, in faces."""
    residuals = np.zeros(len(points))
    for index, face in enumerate(points):
        if np.isnan(face).any():
            continue
        matrix = fit_similarity(template, face)
        fitted = template @ matrix[:, :2].T + matrix[:, 2]
        scale = np.hypot(*matrix[:, 0])
        residuals[index] = np.sqrt(np.mean(np.sum((face - fitted) ** 2, axis=1))) / scale
    return residuals

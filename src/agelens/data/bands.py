"""Labels as bands ``[N, 2]``: the lowest and highest age in years; of one year, both are that."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Bands = NDArray[np.int64]


def bands_of(rows: pd.DataFrame) -> Bands:
    """The labels of usable manifest rows, ``[N, 2]``."""
    return rows[["age_low", "age_high"]].to_numpy(np.int64)


def as_bands(labels: NDArray[np.integer]) -> Bands:
    """Labels that are ages ``[N]`` or bands ``[N, 2]``, as bands."""
    bands: Bands = np.asarray(labels, np.int64)
    return np.stack([bands, bands], axis=1) if bands.ndim == 1 else bands


def alike(rows: pd.DataFrame) -> NDArray[np.float64]:
    """A weight for each row ``[N]``, of mean 1, by which every source counts as much as another."""
    counts = rows.groupby("source")["source"].transform("size").to_numpy(float)
    return np.asarray(len(rows) / rows["source"].nunique() / counts, np.float64)


def distance(estimates: NDArray[np.floating], bands: Bands) -> NDArray[np.float64]:
    """Years from each estimate ``[N]`` to the nearest age of its label.

    The absolute error where a label is one year, and 0 inside a band.
    """
    years = np.asarray(estimates, np.float64)
    nearest = years.clip(bands[:, 0], bands[:, 1])
    return np.asarray(np.abs(years - nearest), np.float64)


def inside(estimates: NDArray[np.floating], bands: Bands) -> NDArray[np.bool_]:
    """Whether each estimate ``[N]``, rounded to a whole year, is one of its label's."""
    years = np.rint(np.asarray(estimates, np.float64))
    return np.asarray((years >= bands[:, 0]) & (years <= bands[:, 1]))


def mean_over_sources(values: NDArray[np.floating], rows: pd.DataFrame) -> float:
    """The mean of the sources' means of `values` ``[N]``, so that each source counts alike."""
    return float(pd.Series(np.asarray(values)).groupby(rows["source"].to_numpy()).mean().mean())

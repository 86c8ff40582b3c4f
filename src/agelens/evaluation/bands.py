"""Estimates against labels that are bands of ages."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agelens.data.bands import bands_of, distance, inside
from agelens.evaluation.measured import BandFigures, BandMetrics, Measured
from agelens.evaluation.metrics import interval


def measure_bands(found: pd.DataFrame, *, seed: int = 0) -> BandFigures:
    """How many estimates lie in the band of their label, and how far away the others are.

    Args:
        found: rows of `predict_split` with a face, labelled with bands.
        seed: of the bootstrap.

    Returns:
        The figures of all, and by band, gender, ethnicity and, of several, source.
    """
    bands = bands_of(found)
    estimates = found["predicted"].to_numpy(float)
    samples = pd.DataFrame(
        {"in_band": inside(estimates, bands), "distance": distance(estimates, bands)},
        index=found.index,
    ).astype(float)
    low, high = (found[end].astype("string") for end in ("age_low", "age_high"))
    order = found["age_low"].rank(method="dense").astype(int)
    columns = {"band": low + "-" + high, "gender": found["gender"], "ethnicity": found["ethnicity"]}
    if found["source"].nunique() > 1:
        columns["source"] = found["source"]
    groups: dict[str, dict[str, BandMetrics]] = {}
    for column, values in columns.items():
        names = list(values[order.sort_values(kind="stable").index].dropna().unique())
        if names:
            groups[column] = {
                str(name): _figures(samples[(values == name).fillna(False).to_numpy(bool)], seed)
                for name in (names if column == "band" else sorted(names))
            }
    return BandFigures(overall=_figures(samples, seed), groups=groups)


def _figures(samples: pd.DataFrame, seed: int) -> BandMetrics:
    outside = samples["distance"][samples["in_band"] == 0]
    return BandMetrics(
        count=len(samples),
        in_band=_mean(samples["in_band"], seed),
        distance=_mean(samples["distance"], seed),
        outside=_mean(outside, seed) if len(outside) else None,
    )


def _mean(values: pd.Series, seed: int) -> Measured:
    low, high = interval(values.to_numpy(), np.mean, seed)
    return Measured(value=float(values.mean()), low=low, high=high)

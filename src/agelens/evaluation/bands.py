"""Estimates against labels that are bands of ages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from agelens.data.bands import bands_of, distance, inside
from agelens.evaluation.metrics import SMALL_GROUP, interval


def measure_bands(found: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """How many estimates lie in the band of their label, and how far away the others are.

    Args:
        found: rows of `predict_split` with a face, labelled with bands.
        seed: of the bootstrap.

    Returns:
        ``overall``, and ``groups`` by band, gender, ethnicity and, of several, source. Each has its
        ``count``, whether that is ``small``, and with 95 % intervals ``in_band``: the share of
        estimates that are in the band as whole years; ``distance``: years to the nearest age of the
        band, on average of all; ``outside``: of those outside alone, where there are any.
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
    groups: dict[str, dict[str, Any]] = {}
    for column, values in columns.items():
        names = list(values[order.sort_values(kind="stable").index].dropna().unique())
        if names:
            groups[column] = {
                str(name): _figures(samples[(values == name).fillna(False).to_numpy(bool)], seed)
                for name in (names if column == "band" else sorted(names))
            }
    return {"overall": _figures(samples, seed), "groups": groups}


def _figures(samples: pd.DataFrame, seed: int) -> dict[str, Any]:
    outside = samples[samples["in_band"] == 0]
    values = {
        "in_band": samples["in_band"],
        "distance": samples["distance"],
        "outside": outside["distance"],
    }
    figures: dict[str, Any] = {"count": len(samples), "small": len(samples) < SMALL_GROUP}
    for name, column in values.items():
        if len(column):
            low, high = interval(column.to_numpy(), np.mean, seed)
            figures[name] = {"value": float(column.mean()), "low": low, "high": high}
    return figures

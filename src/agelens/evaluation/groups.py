"""For whom a model is wrong: crossings of groups, and errors as if all groups were equally old."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.ages import AGE_BANDS, BAND_NAMES
from agelens.evaluation.metrics import (
    CONFIDENCE,
    RESAMPLES,
    SMALL_GROUP,
    group_columns,
    measure,
)

CROSSED = ("mae", "bias", "coverage")
MIN_CELL = 5
"""Fewer faces of a group in an age band say nothing of it: the band is left out for all groups."""


def crossed(groups: pd.DataFrame) -> pd.DataFrame:
    """A column for each pair of columns, as in "gender × ethnicity": "female, Asian"."""
    return pd.DataFrame(
        {
            f"{first} × {second}": (
                groups[first].astype("string") + ", " + groups[second].astype("string")
            )
            for first, second in combinations(groups, 2)
        },
        index=groups.index,
    )


def crossings(found: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """Error, bias and coverage where two groupings cross.

    Args:
        found: rows of `predict_split` with a face.
        seed: of the bootstrap.

    Returns:
        ``{"gender × ethnicity": {"female, Asian": {"count", "small", metric: {…}}}}``; ``small``
        where fewer than `SMALL_GROUP` faces are too few to compare.
    """
    pairs = crossed(group_columns(found)[["gender", "ethnicity", "age"]])
    table = measure(
        found["age"].astype(float),
        found["predicted"],
        pairs,
        low=found["low"],
        high=found["high"],
        metrics=CROSSED,
        seed=seed,
    )["groups"]
    return {
        column: {
            value: {"small": figures["count"] < SMALL_GROUP, **figures}
            for value, figures in values.items()
        }
        for column, values in table.items()
    }


def standardised(
    errors: NDArray[np.float64],
    ages: NDArray[np.number],
    group: NDArray[np.str_],
    *,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Mean absolute error of each group as if all had one age distribution.

    Direct standardisation: a group's error in each age band, weighted by that band's share of all
    faces. Bands in which some group has fewer than `MIN_CELL` faces are left out for every group,
    so that all are compared over the same ages.

    Args:
        errors: ``[N]`` years.
        ages: ``[N]`` true ages.
        group: ``[N]`` names.
        seed: of the bootstrap, which draws within each group's age bands.

    Returns:
        ``{"groups": {name: {"value", "low", "high", "count", "small"}}, "bands", "share",
        "widest": {"high", "low", "difference": {"value", "low", "high"}}}``: ``share`` of all faces
        are in ``bands``; the pair is the widest that was observed, which its interval does not
        allow for. None with fewer than two groups, or no band that all have.
    """
    names = [str(name) for name in np.unique(group)]
    band = np.searchsorted(AGE_BANDS, ages, side="right") - 1
    cells = {name: [np.abs(errors[(group == name) & (band == b)]) for b in range(len(BAND_NAMES))]
             for name in names}  # fmt: skip
    used = [
        b for b in range(len(BAND_NAMES)) if all(len(cells[name][b]) >= MIN_CELL for name in names)
    ]
    if len(names) < 2 or not used:
        return None
    common = np.array([(band == b).sum() for b in used], float)
    share, common = float(common.sum() / len(band)), common / common.sum()
    rng = np.random.default_rng(seed)
    values, draws = {}, {}
    for name in names:
        own = [cells[name][b] for b in used]
        values[name] = float(sum(w * cell.mean() for w, cell in zip(common, own, strict=True)))
        draws[name] = sum(
            (w * rng.choice(cell, (RESAMPLES, len(cell))).mean(axis=1)
             for w, cell in zip(common, own, strict=True)),
            np.zeros(RESAMPLES),
        )  # fmt: skip
    worst, best = max(names, key=values.__getitem__), min(names, key=values.__getitem__)
    counts = {name: sum(len(cells[name][b]) for b in used) for name in names}
    difference = _figure(values[worst] - values[best], draws[worst] - draws[best])
    return {
        "groups": {
            name: _figure(values[name], draws[name])
            | {"count": counts[name], "small": counts[name] < SMALL_GROUP}
            for name in names
        },
        "bands": [BAND_NAMES[b] for b in used],
        "share": share,
        "widest": {"high": worst, "low": best, "difference": difference},
    }


def standardise_groups(found: pd.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """`standardised` by gender, by ethnicity and by their crossing, where it can be."""
    groups = group_columns(found)[["gender", "ethnicity"]]
    groups = pd.concat([groups, crossed(groups)], axis=1)
    table = {}
    for column in map(str, groups):
        known = groups[column].notna()
        rows = found[known]
        errors = (rows["predicted"] - rows["age"].astype(float)).to_numpy()
        names = groups[column][known].to_numpy(str)
        table[column] = standardised(errors, rows["age"].to_numpy(int), names, seed=seed)
    return {column: figures for column, figures in table.items() if figures is not None}


def _figure(value: float, draws: NDArray[np.float64]) -> dict[str, Any]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return {"value": value, "low": float(low), "high": float(high)}

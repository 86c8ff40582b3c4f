"""For whom a model is wrong: crossings of groups, and errors as if all groups were equally old."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.ages import AGE_BANDS, BAND_NAMES
from agelens.evaluation.measured import Groups, Measured, Standardised, StandardisedGroup, WidestGap
from agelens.evaluation.metrics import (
    CONFIDENCE,
    RESAMPLES,
    group_columns,
    measure,
)

CROSSED = ("mae", "bias", "coverage")
MIN_FACES = 5
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


def crossings(found: pd.DataFrame, *, seed: int = 0) -> dict[str, Groups]:
    """Error, bias and coverage where two groupings cross.

    Args:
        found: rows of `predict_split` with a face.
        seed: of the bootstrap.

    Returns:
        The metrics by crossing and group, such as "gender × ethnicity" and "female, Asian".
    """
    pairs = crossed(group_columns(found)[["gender", "ethnicity", "age"]])
    _, table = measure(
        found["age"].astype(float),
        found["predicted"],
        pairs,
        low=found["low"],
        high=found["high"],
        metrics=CROSSED,
        seed=seed,
    )
    return table


def standardised(
    errors: NDArray[np.float64],
    ages: NDArray[np.number],
    group: NDArray[np.str_],
    *,
    seed: int = 0,
) -> Standardised | None:
    """Mean absolute error of each group as if all had one age distribution.

    Direct standardisation: a group's error in each age band, weighted by the fraction of all
    faces that is in the band. Bands in which some group has fewer than `MIN_FACES` faces are left
    out for every group, so that all are compared over the same ages.

    Args:
        errors: ``[N]`` years.
        ages: ``[N]`` true ages.
        group: ``[N]`` names.
        seed: of the bootstrap, which draws within each group's age bands.

    Returns:
        The errors; None with fewer than two groups, or no band that all have.
    """
    names = [str(name) for name in np.unique(group)]
    band = np.searchsorted(AGE_BANDS, ages, side="right") - 1
    by_band = {
        name: [np.abs(errors[(group == name) & (band == b)]) for b in range(len(BAND_NAMES))]
        for name in names
    }
    used = [
        b
        for b in range(len(BAND_NAMES))
        if all(len(by_band[name][b]) >= MIN_FACES for name in names)
    ]
    if len(names) < 2 or not used:
        return None
    common = np.array([(band == b).sum() for b in used], float)
    fraction, common = float(common.sum() / len(band)), common / common.sum()
    rng = np.random.default_rng(seed)
    values, draws = {}, {}
    for name in names:
        own = [by_band[name][b] for b in used]
        values[name] = float(sum(w * part.mean() for w, part in zip(common, own, strict=True)))
        draws[name] = sum(
            (w * rng.choice(part, (RESAMPLES, len(part))).mean(axis=1)
             for w, part in zip(common, own, strict=True)),
            np.zeros(RESAMPLES),
        )  # fmt: skip
    worst, best = max(names, key=values.__getitem__), min(names, key=values.__getitem__)
    counts = {name: sum(len(by_band[name][b]) for b in used) for name in names}
    difference = _figure(values[worst] - values[best], draws[worst] - draws[best])
    return Standardised(
        groups={
            name: StandardisedGroup(
                count=counts[name], **_figure(values[name], draws[name]).model_dump()
            )
            for name in names
        },
        bands=[BAND_NAMES[b] for b in used],
        fraction=fraction,
        widest=WidestGap(worst=worst, best=best, difference=difference),
    )


def standardise_groups(found: pd.DataFrame, *, seed: int = 0) -> dict[str, Standardised]:
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


def _figure(value: float, draws: NDArray[np.float64]) -> Measured:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Measured(value=value, low=float(low), high=float(high))

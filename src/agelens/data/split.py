"""Leak-free splits: whole duplicate groups, stratified by age, the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

SALT = "agelens-split-1"
"""Changing it draws new splits; it never changes once a model is released."""
BAND_YEARS = 5
PARTS = (("train", 0.70), ("validation", 0.09), ("calibration", 0.06), ("test", 0.15))
"""Validation's 15 % are two parts: selection sees the first, calibration alone the second."""


def assign_splits(group: pd.Series, age: pd.Series, sha256: pd.Series) -> pd.Series:
    """Draw the split of every row.

    Groups are strata by the band of their median age. Inside a band they are put in the order of a
    salted hash of their contents, and the parts are cut from that order by number of rows: neither
    the files' names nor their order matter, and no group is ever cut.

    Args:
        group: duplicate group of each row.
        age: years; missing where the name does not say it.
        sha256: of the file; missing where it could not be read.

    Returns:
        One of "train", "validation", "calibration", "test" for each row; missing where the file
        could not be read.
    """
    readable = sha256.notna()
    frame = pd.DataFrame({"group": group, "age": age, "sha256": sha256})[readable]
    groups = frame.groupby("group").agg(
        age=("age", "median"), first=("sha256", "min"), rows=("sha256", "size")
    )
    groups["band"] = (groups["age"].fillna(-1) // BAND_YEARS).astype(int)
    groups["key"] = [
        hashlib.sha256(f"{SALT}:{digest}".encode()).hexdigest() for digest in groups["first"]
    ]
    groups = groups.sort_values(["band", "key"])
    position = (groups["rows"].cumsum() - groups["rows"] / 2).to_numpy()
    band = groups["band"].to_numpy()
    starts = groups.groupby("band")["rows"].sum().cumsum().shift(fill_value=0)
    totals = groups.groupby("band")["rows"].sum()
    share = (position - starts.loc[band].to_numpy()) / totals.loc[band].to_numpy()
    ends = np.cumsum([size for _, size in PARTS])[:-1]
    names = np.array([name for name, _ in PARTS])
    groups["split"] = names[np.searchsorted(ends, share, side="right")]
    split = pd.Series(pd.NA, index=group.index, dtype="string")
    split[readable] = group[readable].map(groups["split"]).astype("string")
    return split

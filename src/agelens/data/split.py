"""Leak-free splits: whole duplicate groups, stratified by age, the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

SALT = "agelens-split-1"
"""Changing it draws new splits; it never changes once a model is released."""
BAND_YEARS = 5
PARTS = (("train", 0.70), ("validation", 0.09), ("calibration", 0.06), ("test", 0.15))
"""Validation's 15 % are two parts: selection sees the first, calibration alone the second. The
later a part stands here, the more it is held back."""
GIVEN: dict[str | None, tuple[tuple[str, float], ...]] = {
    None: PARTS,
    "train": (("train", 0.92), ("calibration", 0.08)),
    "validation": (("validation", 1.0),),
    "calibration": (("calibration", 1.0),),
    "test": (("test", 1.0),),
}
"""What a group is drawn into, and in which proportions, by the part that its dataset's authors put
it in. Of their training part some is held back for calibration."""


def assign_splits(
    group: pd.Series, age: pd.Series, sha256: pd.Series, given: pd.Series | None = None
) -> pd.Series:
    """Draw the split of every row, or keep to the one that it was given.

    Groups are strata by the band of their median age, and by the part that they were given, if any:
    the most held back of their rows'. Inside a stratum they are put in the order of a salted hash
    of their contents, and the parts are cut from that order by number of rows: neither the files'
    names nor their order matter, and no group is ever cut.

    Args:
        group: duplicate group of each row.
        age: years; missing where it is not known.
        sha256: of the file; missing where it could not be read.
        given: a name of `PARTS` where the dataset's authors drew splits; missing, or None for all,
            where they did not.

    Returns:
        One of "train", "validation", "calibration", "test" for each row; missing where the file
        could not be read.
    """
    readable = sha256.notna()
    names = [name for name, _ in PARTS]
    frame = pd.DataFrame({"group": group, "age": age, "sha256": sha256, "held": -1})
    if given is not None:
        ranks = given.map({name: rank for rank, name in enumerate(names)})
        frame["held"] = ranks.fillna(-1).astype(int)
    frame = frame[readable]
    groups = frame.groupby("group").agg(
        age=("age", "median"),
        first=("sha256", "min"),
        rows=("sha256", "size"),
        held=("held", "max"),
    )
    groups["band"] = (groups["age"].fillna(-1) // BAND_YEARS).astype(int)
    groups["key"] = [
        hashlib.sha256(f"{SALT}:{digest}".encode()).hexdigest() for digest in groups["first"]
    ]
    groups = groups.sort_values(["band", "key"])
    rows = groups.groupby(["held", "band"])["rows"]
    position = (rows.cumsum() - groups["rows"] / 2) / rows.transform("sum")
    groups["split"] = ""
    for rank, name in enumerate([None, *names], -1):
        parts, sizes = zip(*GIVEN[name], strict=True)
        ends = np.cumsum(sizes)[:-1]
        members = groups["held"] == rank
        drawn = np.searchsorted(ends, position[members], side="right")
        groups.loc[members, "split"] = np.array(parts)[drawn]
    split = pd.Series(pd.NA, index=group.index, dtype="string")
    split[readable] = group[readable].map(groups["split"]).astype("string")
    return split

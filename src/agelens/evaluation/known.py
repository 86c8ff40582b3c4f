"""What is published of public datasets, to compare a result with."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

UTKFACE = "UTKFace"


class Published(NamedTuple):
    """A published mean absolute error in years, and the method that reached it."""

    mae: float
    method: str


PUBLISHED = {
    UTKFACE: (
        Published(
            3.70,
            "MiVOLO, which learnt from 500,000 other pictures (Kuprashevich and Tolstykh, 2023)",
        ),
        Published(3.87, "frozen FaRL features (Paplham and Franc, CVPR 2024)"),
        Published(4.23, "VOLO-D1, faces only (Kuprashevich and Tolstykh, 2023)"),
    )
}
"""By dataset, the lowest first. Each was measured on a split of its authors' own."""


def public_name(manifest: pd.DataFrame) -> str | None:
    """Which public dataset a manifest is of; None if nothing is published of its sources."""
    sources = set(manifest["source"].dropna())
    return next((name for name in PUBLISHED if sources == {name}), None)

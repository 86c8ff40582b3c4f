"""Conditions that pictures are spoilt by, and what the estimates in each come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.errors import DataError
from agelens.evaluation.robustness.corruptions import CORRUPTIONS, LANDMARK_JITTER

JITTER = "detector_jitter"
KINDS = (*CORRUPTIONS, JITTER)
"""Names of all kinds."""
SPANS = {"1-3": (1, 2, 3), "1-5": (1, 2, 3, 4, 5)}
"""Severities that means are taken over."""
COLUMNS = ("predicted", "low", "high")
"""What is kept of a face in a condition, in years."""


class Cell(NamedTuple):
    """One condition."""

    kind: str
    severity: int


CLEAN = Cell("clean", 0)


def amount(cell: Cell) -> float:
    """How much of its kind a condition has, in the kind's unit."""
    amounts = LANDMARK_JITTER if cell.kind == JITTER else CORRUPTIONS[cell.kind].amounts
    return amounts[cell.severity - 1]


def summarise(
    tables: dict[Cell, pd.DataFrame],
    ages: NDArray[np.float64],
    kinds: Sequence[str],
    severities: Sequence[int],
) -> dict[str, Any]:
    """The figures of every kind at every severity, beside those of the clean pictures.

    Args:
        tables: for every condition its estimates, a row a picture, of `COLUMNS`.
        ages: true ages of the pictures in years, ``[N]``.
        kinds: of `KINDS`, which `tables` has at all `severities`.
        severities: from 1.

    Raises:
        DataError: no face was found in any clean picture.
    """
    clean = tables[CLEAN]
    report: dict[str, Any] = {"clean": _figures(clean, ages), "kinds": {}}
    if not report["clean"]["count"]:
        raise DataError("no face was found in any clean picture: there is nothing to compare with")
    for kind in kinds:
        own = {}
        for severity in severities:
            cell = Cell(kind, severity)
            compared = _compare(tables[cell], clean, ages)
            own[str(severity)] = {"amount": amount(cell)} | compared
        unit = "sigma / face" if kind == JITTER else CORRUPTIONS[kind].unit
        report["kinds"][kind] = {"unit": unit, "severities": own, "means": _means([own])}
    report["means"] = _means([kind["severities"] for kind in report["kinds"].values()])
    return report


def _figures(table: pd.DataFrame, ages: NDArray[np.float64]) -> dict[str, Any]:
    predicted, low, high = (table[name].to_numpy(float) for name in COLUMNS)
    found = ~np.isnan(predicted)
    figures: dict[str, Any] = {"count": int(found.sum()), "miss_rate": float(1 - found.mean())}
    if not found.any():
        return figures | {"mae": None, "bias": None, "coverage": None}
    errors = (predicted - ages)[found]
    inside = ((low <= ages) & (ages <= high))[found]
    return figures | {
        "mae": float(np.abs(errors).mean()),
        "bias": float(errors.mean()),
        "coverage": float(inside.mean()),
    }


def _compare(table: pd.DataFrame, clean: pd.DataFrame, ages: NDArray[np.float64]) -> dict[str, Any]:
    """The figures of a corruption, and its MAE over the clean one: of all, and of the same."""
    figures = _figures(table, ages)
    both = (table["predicted"].notna() & clean["predicted"].notna()).to_numpy()
    pairs = ((table, clean), (table[both], clean[both]))
    for name, (one, other), truth in zip(
        ("ratio", "ratio_same_faces"), pairs, (ages, ages[both]), strict=True
    ):
        worse, better = _figures(one, truth)["mae"], _figures(other, truth)["mae"]
        figures[name] = worse / better if worse is not None and better else None
    return figures


def _means(kinds: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float | None] | None]:
    """Means over conditions; those in which nothing was found have no error to add."""
    means: dict[str, dict[str, float | None] | None] = {}
    for span, levels in SPANS.items():
        if not all(str(level) in kind for kind in kinds for level in levels):
            means[span] = None
            continue
        cells = [kind[str(level)] for kind in kinds for level in levels]
        own: dict[str, float | None] = {}
        for name in ("mae", "ratio", "miss_rate", "coverage"):
            known = [cell[name] for cell in cells if cell[name] is not None]
            own[name] = float(np.mean(known)) if known else None
        means[span] = own
    return means

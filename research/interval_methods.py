"""How wide intervals must be to hold for every age: ways to calibrate, compared on validation.

    python research/interval_methods.py light DIR --json research/results/interval-methods.json

Each way learns on the calibration part and is measured on the validation part, neither of which the
network was trained on: coverage in all and in its worst age band of at least 100 pictures, and mean
width in units of the mean absolute error. Test pictures are not looked at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agelens import AgeEstimator
from agelens.ages import age_band
from agelens.data.manifest import Dataset
from agelens.evaluation.fitting import OWN_AGE, fit_calibration, nearness
from agelens.evaluation.predictions import distributions_of, predict_split
from agelens.pipeline.calibration import Calibration, intervals, quantile

Array = NDArray[Any]
SHARES = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0)
ENOUGH = 100


def quantile_regression(
    known: Array, true: Array, new: Array, ages: Array, coverage: float
) -> Array:
    """Conformalised quantiles (Romano, Patterson and Candes, NeurIPS 2019)."""
    tail = (1 - coverage) / 2
    low, high = (quantile(known, ages, level) for level in (tail, 1 - tail))
    level = np.ceil((len(true) + 1) * coverage) / len(true)
    margin = np.quantile(np.maximum(low - true, true - high), level)
    ends = [quantile(new, ages, tail) - margin, quantile(new, ages, 1 - tail) + margin]
    return np.stack(ends, 1)


def equal_tails(known: Array, true: Array, new: Array, ages: Array, coverage: float) -> Array:
    """By rank, as many outside below as above (Chernozhukov, Wüthrich and Zhu, PNAS 2021)."""
    fitted = fit_calibration(known, true, ages)

    def ranks(distributions: Array) -> Array:
        mass = fitted.calibrated(distributions)
        return mass.cumsum(axis=1) - mass / 2

    own = ranks(known)[np.arange(len(true)), np.searchsorted(ages, true)]
    tails = (1 - coverage) / 2, (1 + coverage) / 2
    score_quantiles = []
    for age in ages:
        near = nearness(true.astype(float), age)
        weights = OWN_AGE * near / near.sum() + (1 - OWN_AGE) / len(true)
        score_quantiles.append(np.quantile(own, tails, weights=weights, method="inverted_cdf"))
    low, high = np.transpose(score_quantiles)
    there = ranks(new)
    inside = (there >= low) & (there <= high)
    inside[np.arange(len(new)), np.abs(there - 0.5).argmin(axis=1)] = True
    ends = [inside.argmax(axis=1), len(ages) - 1 - inside[:, ::-1].argmax(axis=1)]
    return ages[np.stack(ends, axis=1)]


def ways(
    known: Array, true: Array, ages: Array, coverage: float
) -> dict[str, Callable[[Array], Array]]:
    """Each way by its name: from raw distributions to intervals."""

    def ours(share: float) -> Callable[[Array], Array]:
        fitted = fit_calibration(known, true, ages, own_age=share)
        return lambda new: intervals(fitted.calibrated(new), ages, fitted, coverage)

    return {
        "highest density as it is": lambda new: intervals(new, ages, Calibration(), coverage),
        "conformalised quantiles": lambda new: quantile_regression(
            known, true, new, ages, coverage
        ),
        f"equal tails, {OWN_AGE:.0%} by own age": lambda new: equal_tails(
            known, true, new, ages, coverage
        ),
    } | {f"highest density, {share:.0%} by own age": ours(share) for share in SHARES}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    parts = {}
    estimator = AgeEstimator(options.model, threads=1, calibration=Calibration())
    for split in ("calibration", "validation"):
        table = predict_split(estimator, dataset, split)
        found = table[table["predicted"].notna()]
        parts[split] = (distributions_of(found), found["age"].to_numpy(int))
    (known, ages), true = parts["calibration"]
    (new, _), wanted = parts["validation"]
    error = float(np.abs(quantile(new, ages, 0.5) - wanted).mean())
    bands = np.array(age_band(wanted))
    names = [band for band in np.unique(bands) if (bands == band).sum() >= ENOUGH]
    results: dict[str, Any] = {}
    for name, way in ways(known, true, ages, options.coverage).items():
        ends = way(new)
        inside = (ends[:, 0] <= wanted) & (wanted <= ends[:, 1])
        by_band = {band: float(inside[bands == band].mean()) for band in names}
        worst = min(by_band, key=lambda band: by_band[band])
        width = float((ends[:, 1] - ends[:, 0]).mean())
        results[name] = {"coverage": float(inside.mean()), "bands": by_band,
                         "width": width, "width_in_errors": width / error}  # fmt: skip
        print(f"{name:32} covers {inside.mean():.3f}, worst {by_band[worst]:.3f} ({worst}), "
              f"width {width:.2f} = {width / error:.2f} x {error:.3f}")  # fmt: skip
    if options.json:
        facts = {"model": options.model, "coverage": options.coverage, "mae": error}
        options.json.write_text(json.dumps(facts | {"ways": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The class bias after the temperature: what it does to errors, by how it is fitted.

    python research/class_bias.py light DIR --json research/results/class-bias.json

Every face of the calibration and validation parts is judged with a class bias fitted on four fifths
of them without it: mean absolute error of all and of the old, fraction within five years, and the
bias of each decade under 80. Test pictures are not looked at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens import AgeEstimator
from agelens.data.manifest import Dataset
from agelens.evaluation.fitting import HOLD, OLD_WEIGHT, fit_class_bias, fit_temperature
from agelens.evaluation.predictions import distributions_of, predict_split
from agelens.pipeline.calibration import Calibration, quantile

Array = NDArray[Any]
FOLDS = 5
WEIGHTS = (1.0, 1.25, 1.5, OLD_WEIGHT, 2.0)
HOLDS = (HOLD / 3, 3 * HOLD)
WAYS: dict[str, dict[str, float] | None] = {"temperature alone": None}
WAYS |= {f"the old {weight:g} times": {"old_weight": weight} for weight in WEIGHTS}
WAYS |= {f"the old {OLD_WEIGHT:g} times, held by {hold:.0f}": {"hold": hold} for hold in HOLDS}


def predict(model: str, data: Path) -> tuple[Dataset, pd.DataFrame, Array, Array]:
    """The dataset, its calibration and validation faces, their distributions and the ages."""
    dataset = Dataset.load(data)
    estimator = AgeEstimator(model, threads=1, calibration=Calibration())
    table = pd.concat(
        predict_split(estimator, dataset, split) for split in ("calibration", "validation")
    )
    found = table[table["predicted"].notna()].reset_index(drop=True)
    return dataset, found, *distributions_of(found)


def held_out(known: Array, true: Array, ages: Array, way: dict[str, float] | None) -> Array:
    """Medians ``[N]``, each from what was learnt without its fold."""
    folds = np.random.default_rng(0).permutation(len(true)) % FOLDS
    medians = np.empty(len(true))
    for fold in range(FOLDS):
        rest, own = folds != fold, folds == fold
        learnt = Calibration(fit_temperature(known[rest], true[rest], ages))
        mass = learnt.calibrated(known[own])
        if way is not None:
            mass = mass * fit_class_bias(learnt.calibrated(known[rest]), true[rest], ages, **way)
        medians[own] = quantile(mass, ages, 0.5)
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    _, found, faces, ages = predict(options.model, options.data)
    wanted = found["age"].to_numpy(int)
    results: dict[str, Any] = {}
    print(f"{len(wanted):,} faces\n{'':34}   MAE  within 5  60-79  80+   bias by decade")
    for name, way in WAYS.items():
        errors = held_out(faces, wanted, ages, way) - wanted
        size = np.abs(errors)
        old, oldest = (wanted >= 60) & (wanted < 80), wanted >= 80
        bias = [float(errors[(wanted >= low) & (wanted < low + 10)].mean())
                for low in range(0, 80, 10)]  # fmt: skip
        row = {"mae": size.mean(), "within_5": (size <= 5).mean(),
               "mae_60_79": size[old].mean(), "mae_80": size[oldest].mean()}  # fmt: skip
        results[name] = {key: float(value) for key, value in row.items()} | {"bias": bias}
        print(f"{name:34} {row['mae']:.3f}  {row['within_5']:.2%}    {row['mae_60_79']:.2f}  "
              f"{row['mae_80']:.2f}  {' '.join(f'{value:+.1f}' for value in bias)}")  # fmt: skip
    if options.json:
        facts = {"model": options.model, "faces": len(wanted), "ways": results}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()

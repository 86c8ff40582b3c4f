"""What models make of each source of a joined dataset: errors, bands, and those of 10 to 19.

    python research/sources.py DIR light OTHER.onnx

On the validation crops, so without detection; each model with its own calibration, and the mean of
all their distributions in the end. The selection rule of a run on several sets is the first column.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.data.bands import bands_of, distance, inside, mean_over_sources
from agelens.data.manifest import Dataset
from agelens.pipeline.calibration import quantile
from agelens.pipeline.model import AgeModel
from agelens.training.crops import aligned_crops

YOUNG, OLD = (10, 19), 60


def answers(name: str, dataset: Dataset) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """The calibrated distributions of a model ``[N, K]``, and the rows that they are of."""
    model = AgeModel(name)
    crops, rows = aligned_crops(dataset, "validation", model.size, margin=0.0)
    return model.calibration.calibrated(model.predict(np.array(crops))), rows


def describe(name: str, distribution: NDArray[np.float64], rows: pd.DataFrame) -> None:
    """Print a model's figures."""
    estimates = quantile(distribution, np.arange(distribution.shape[1]), 0.5)
    bands = bands_of(rows)
    away, right = distance(estimates, bands), inside(estimates, bands)
    print(f"{name}: mean of the sources' mean distances {mean_over_sources(away, rows):.3f} years")
    for source, index in rows.groupby("source").indices.items():
        own, years, label = rows.iloc[index], estimates[index], bands[index]
        line = f"  {source}: {away[index].mean():.3f} years away"
        if own["age"].notna().all():
            ages = label[:, 0]
            teens, old = (ages >= YOUNG[0]) & (ages <= YOUNG[1]), ages >= OLD
            for group, members in (("all", ages >= 0), ("10-19", teens), ("60 and over", old)):
                error = (years - ages)[members]
                line += f"; {group} {np.abs(error).mean():.2f} ({error.mean():+.2f})"
            print(line)
            continue
        print(f"{line}; in band {right[index].mean():.1%}")
        for column in ("age_low", "ethnicity"):
            shares = pd.Series(right[index]).groupby(own[column].to_numpy()).mean()
            print("    " + ", ".join(f"{value} {share:.1%}" for value, share in shares.items()))


def main() -> None:
    """Measure every model, and all together."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    total = None
    for name in options.models:
        distribution, rows = answers(name, dataset)
        describe(name, distribution, rows)
        total = distribution if total is None else total + distribution
    if total is not None and len(options.models) > 1:
        describe("all together", total / len(options.models), rows)


if __name__ == "__main__":
    main()

"""How well intervals hold on each source, with it in the calibration and without.

    python research/source_calibration.py DIR light --json benchmarks/results/light-left-out.json

Calibrated on the calibration and validation crops of a joined dataset, measured on a source's own,
held out in turn (two halves) where it is in. A band counts as covered by how much of what the model
takes to be likely inside it the interval holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.data.bands import alike, bands_of
from agelens.data.manifest import Dataset
from agelens.evaluation.cross_fitting import held
from agelens.evaluation.fitting import fit_calibration
from agelens.files import write_json
from agelens.pipeline.calibration import Calibration
from agelens.pipeline.model import AgeModel
from agelens.reporting.command import recorded_command
from agelens.training.crops import aligned_crops

TEENS = (13, 17)


def answers(model: AgeModel, dataset: Dataset) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Distributions as the model gives them, and their rows, of calibration and validation."""
    parts = [
        aligned_crops(dataset, split, model.size, margin=0.0)
        for split in ("calibration", "validation")
    ]
    mass = np.concatenate([model.predict(np.array(crops)) for crops, _ in parts])
    return mass.astype(float), pd.concat([rows for _, rows in parts], ignore_index=True)


def described(
    mass: NDArray[np.float64], rows: pd.DataFrame, ages: NDArray[np.float64], learnt: Calibration
) -> pd.DataFrame:
    """Of each face: how much of its label the interval holds, its width, the error, P(>= 18)."""
    adult = learnt.calibrated(mass)[:, ages >= 18].sum(1)
    return held(mass, bands_of(rows), ages, learnt).assign(adult=adult)


def ways(sources: pd.Series, source: str) -> Iterator[tuple[str, list[tuple[NDArray, NDArray]]]]:
    """Each way to calibrate for a source: pairs of what is learnt from and what is measured."""
    own = (sources == source).to_numpy()
    half = np.random.default_rng(0).random(len(own)) < 0.5
    turns = [(half, own & ~half), (~half, own & half)]
    yield "all sources", turns
    yield "without it", [(~own, own)]
    yield "it alone", [(own & learnt, measured) for learnt, measured in turns]


def main() -> None:
    """Print a row for each source and way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = AgeModel(options.model)
    ages = model.ages.astype(float)
    mass, rows = answers(model, Dataset.load(options.data))
    report: dict[str, dict[str, dict[str, float | None]]] = {}
    print("source, calibrated on, covered, width, width / error, teens P(18) > 0.5, > 0.9")
    for source in sorted(set(rows["source"])):
        for name, turns in [("as shipped", []), *ways(rows["source"], source)]:
            found = []
            for learnt, measured in turns:
                own = rows[learnt]
                fitted = fit_calibration(mass[learnt], bands_of(own), ages, alike(own))
                found.append((measured, described(mass[measured], rows[measured], ages, fitted)))
            if not turns:
                measured = (rows["source"] == source).to_numpy()
                shipped = described(mass[measured], rows[measured], ages, model.calibration)
                found = [(measured, shipped)]
            table = pd.concat([own.assign(i=np.flatnonzero(which)) for which, own in found])
            labels = bands_of(rows.iloc[table["i"]])
            teens = table[(labels[:, 0] >= TEENS[0]) & (labels[:, 1] <= TEENS[1])]["adult"]
            sure = (
                f"{(teens > 0.5).mean():.1%}, {(teens > 0.9).mean():.1%}" if len(teens) else "–, –"
            )
            width, error = table["width"].mean(), table["error"].mean()
            report.setdefault(source, {})[name] = {
                "covered": round(float(table["covered"].mean()), 4),
                "width": round(float(width), 2),
                "width over error": round(float(width / error), 3),
                "of 13 to 17, over even odds of 18": _fraction(teens > 0.5),
                "of 13 to 17, over 0.9": _fraction(teens > 0.9),
            }
            print(
                f"{source}, {name}, {table['covered'].mean():.1%}, {width:.1f}, "
                f"{width / error:.2f}, {sure}",
                flush=True,
            )
    if options.json:
        write_json({"command": recorded_command(), "sources": report}, options.json)


def _fraction(chosen: pd.Series) -> float | None:
    return round(float(chosen.mean()), 4) if len(chosen) else None


if __name__ == "__main__":
    main()

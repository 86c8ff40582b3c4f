"""How well a calibration that is adapted to a few faces of a source holds on its others.

    python research/adapting.py DIR light

Of the calibration and validation crops of each source of a joined dataset, samples of several sizes
are learnt from and others measured: with the model's own calibration, with one from the sample
alone, and with the model's own adapted to it, for several values of `FEW_NEAR`.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from source_calibration import answers

from agelens.data.bands import bands_of
from agelens.data.manifest import Dataset
from agelens.evaluation import fitting
from agelens.evaluation.cross_fitting import held
from agelens.pipeline.calibration import Calibration
from agelens.pipeline.model import AgeModel

SIZES = (100, 200, 500, 1000)
FEW_NEAR = (10, 30, 50, 100, 300)
MEASURED, REPEATS = 1500, 6
DECADES = np.arange(10, 70, 10)


def describe(name: str, tables: list[pd.DataFrame], labels: list[NDArray[np.int64]]) -> None:
    """Print what was held, the least of any decade of labels too, and how wide and wrong it was."""
    rows = []
    for table, bands in zip(tables, labels, strict=True):
        decade = np.digitize(bands.mean(axis=1), DECADES)
        least = table["covered"].groupby(decade).mean().min()
        rows.append([table["covered"].mean(), least, table["width"].mean(), table["error"].mean()])
    covered, least, width, error = np.mean(rows, axis=0)
    spread = np.std(rows, axis=0)[0]
    print(
        f"{name}, {covered:.1%} (sd {spread:.1%}), {least:.1%}, {width:.1f}, {error:.2f}",
        flush=True,
    )


def main() -> None:
    """Print a row for each source, size and way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    parser.add_argument("--sources", nargs="+", help="[default: all]")
    options = parser.parse_args()
    model = AgeModel(options.model)
    ages = model.ages.astype(float)
    mass, rows = answers(model, Dataset.load(options.data))
    bands = bands_of(rows)
    print("source, faces, way, covered, of the worst decade, width, error")
    for source in options.sources or sorted(set(rows["source"])):
        own = np.flatnonzero(rows["source"] == source)
        shipped = held(mass[own], bands[own], ages, model.calibration)
        describe(f"{source}, 0, as shipped", [shipped], [bands[own]])
        for size in SIZES:
            ways = {"alone": partial(fitting.fit_calibration)}
            adapted = partial(fitting.fit_calibration, base=model.calibration)
            ways |= {f"adapted {few}": adapted for few in FEW_NEAR}
            for name, fit in ways.items():
                if name != "alone":
                    fitting.FEW_NEAR = float(name.split()[1])
                tables, labels = [], []
                for seed in range(REPEATS):
                    drawn = np.random.default_rng(seed).permutation(own)
                    learnt, measured = drawn[:size], drawn[size : size + MEASURED]
                    fitted: Calibration = fit(mass[learnt], bands[learnt], ages)
                    tables.append(held(mass[measured], bands[measured], ages, fitted))
                    labels.append(bands[measured])
                describe(f"{source}, {size}, {name}", tables, labels)


if __name__ == "__main__":
    main()

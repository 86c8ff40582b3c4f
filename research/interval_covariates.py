"""Whether anything tells the faces that intervals do not hold, of a source not calibrated on.

    python research/interval_covariates.py DIR light

For each source of a joined dataset, calibrated on the others: how many labels the intervals hold,
by fifths of what could make a face's interval wider (the fifths are those of the other sources).
Only what has fewer held in its last fifths, of the other sources already, can help a new source:
the calibration cannot learn it from anything else. The measures: how unlike the pooled features are
those of training crops (cosine distance to the ten nearest, Mahalanobis distance), how the features
of the mirror image differ, and the entropy of the distribution.

A line more is another way to the same end: score quantiles that hold for the worst of the
sources that are calibrated on, not for all together.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from agelens.data.bands import alike, bands_of
from agelens.data.manifest import Dataset
from agelens.evaluation.cross_fitting import held
from agelens.evaluation.fitting import fit_calibration, score_quantiles
from agelens.pipeline.calibration import Calibration
from agelens.pipeline.model import AgeModel
from agelens.training.crops import MARGIN, aligned_crops

NEAREST, FIFTHS = 10, [0.2, 0.4, 0.6, 0.8]
LEARNT = 3000
"""Training crops that the features are compared with."""

Array = NDArray[np.float64]


class Features:
    """A model file that gives its pooled features, the mirror image's too, beside its answer."""

    def __init__(self, model: AgeModel) -> None:
        known = onnx.load(model.path)
        head = [node for node in known.graph.node if node.op_type == "Gemm"][-1].input[0]
        known.graph.output.append(onnx.helper.make_empty_tensor_value_info(head))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(known.SerializeToString(), options)
        self._names = ["distribution", head]

    def __call__(self, crops: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Distributions ``[N, K]`` and features ``[N, V, C]`` of V views of each crop."""
        answers = [self._session.run(self._names, {"crops": crop[None]}) for crop in crops]
        mass, views = (np.array(part, float) for part in zip(*answers, strict=True))
        return mass[:, 0], views.reshape(len(crops), -1, views.shape[-1])


def measures(features: Array, learnt: Array, mass: Array) -> dict[str, Array]:
    """What could tell that a face is unlike what was learnt, the more the higher, each ``[N]``."""
    own, known = features.mean(axis=1), learnt.mean(axis=1)
    centre = known.mean(axis=0)
    own, known = own - centre, known - centre
    spread = np.cov(known.T)
    spread += np.eye(len(spread)) * 1e-3 * np.trace(spread) / len(spread)
    root = np.linalg.cholesky(np.linalg.inv(spread))
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (own, known))
    return {
        "nearest": 1 - np.sort(one @ other.T, axis=1)[:, -NEAREST:].mean(axis=1),
        "Mahalanobis": np.linalg.norm(own @ root, axis=1),
        "mirror": np.linalg.norm(features[:, 0] - features[:, -1], axis=1),
        "entropy": -(mass * np.log(np.maximum(mass, 1e-12))).sum(axis=1),
    }


def worst_of(
    pooled: Calibration, mass: Array, bands: NDArray[np.int64], ages: Array, sources: pd.Series
) -> Calibration:
    """The calibration with the largest score quantiles that any of its sources needs."""
    tables = []
    for source in sorted(set(sources)):
        own = (sources == source).to_numpy()
        tables.append(score_quantiles(pooled.calibrated(mass[own]), bands[own], ages))
    return replace(pooled, score_quantiles=np.max(tables, axis=0))


def main() -> None:
    """Print the table of each source."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    parser.add_argument("--limit", type=int, help="only so many faces, for a trial")
    options = parser.parse_args()
    model, dataset = AgeModel(options.model), Dataset.load(options.data)
    ages, features, rng = model.ages.astype(float), Features(model), np.random.default_rng(0)
    crops, known = [], []
    for split in ("calibration", "validation"):
        part, rows = aligned_crops(dataset, split, model.size, margin=0.0)
        kept = np.sort(rng.permutation(len(rows))[: options.limit])
        crops.append(part[kept])
        known.append(rows.iloc[kept])
    rows = pd.concat(known, ignore_index=True)
    mass, own_features = features(np.concatenate(crops))
    part, _ = aligned_crops(dataset, "train", model.size, margin=MARGIN)
    drawn, edge = np.sort(rng.permutation(len(part))[:LEARNT]), round(MARGIN * model.size)
    _, learnt = features(part[drawn, edge:-edge, edge:-edge])
    values, bands = measures(own_features, learnt, mass), bands_of(rows)
    for source in sorted(set(rows["source"])):
        own = (rows["source"] == source).to_numpy()
        rest = rows[~own]
        pooled = fit_calibration(mass[~own], bands[~own], ages, alike(rest))
        table = held(mass, bands, ages, pooled)
        worst = worst_of(pooled, mass[~own], bands[~own], ages, rest["source"])
        careful = held(mass[own], bands[own], ages, worst)
        for name, each in (("pooled", table[own]), ("worst source", careful)):
            covered, width, error = (each[key].mean() for key in ("covered", "width", "error"))
            print(
                f"{source} left out, {name}: {covered:.1%} held, width / error {width / error:.2f}"
            )
        for name, value in values.items():
            fifth = np.digitize(value, np.quantile(value[~own], FIFTHS))
            shares = [
                " ".join(
                    f"{table['covered'][which & (fifth == each)].mean():.1%}" for each in range(5)
                )
                for which in (~own, own)
            ]
            print(f"  {name:12} others {shares[0]}   own {shares[1]}", flush=True)


if __name__ == "__main__":
    main()

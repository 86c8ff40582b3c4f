"""`agelens calibrate`: what a model's distributions are worth, on faces that nothing else saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from agelens.calibrate import Calibration, rank
from agelens.data.manifest import Dataset
from agelens.errors import DataError
from agelens.evaluation.evaluate import distributions_of, predict_split
from agelens.files import atomic_path
from agelens.model import METADATA_KEY, AgeModel
from agelens.progress import Progress, silent

ANCHORS = np.array([0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75,
                    80, 85, 90], float)  # fmt: skip
LEVELS = np.linspace(0, 1, 41)
OWN_AGE = 0.7
"""Share of the faces near an age in its limits; the rest is of all faces. 1 would be exact for each
age and is wider: of `light`, on validation, 0.5, 0.7 and 1 cover 81, 82 and 83 % of the worst band
of ages, at 4.0, 4.1 and 4.4 times the error (benchmarks/interval_methods.py)."""
MIN_FACES = 100


def nearness(ages: NDArray[np.floating], anchor: float) -> NDArray[np.float64]:
    """How much faces of these ages count at an anchor: a Gaussian, wider where ages are rarer."""
    width = 1.0 + 0.1 * anchor
    return np.asarray(np.exp(-(((ages - anchor) / width) ** 2) / 2))


def fit_temperature(
    distributions: NDArray[np.floating], true: NDArray[np.integer], ages: NDArray[np.floating]
) -> float:
    """The temperature at which the true ages are likeliest (Guo et al., ICML 2017)."""
    columns = np.searchsorted(ages, true)

    def unlikeliness(log_temperature: float) -> float:
        tempered = Calibration(temperature=float(np.exp(log_temperature))).tempered(distributions)
        chosen = tempered[np.arange(len(true)), columns]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(unlikeliness, bounds=(-1, 1), method="bounded").x))


def fit_calibration(
    distributions: NDArray[np.floating],
    true: NDArray[np.integer],
    ages: NDArray[np.floating],
    *,
    own_age: float = OWN_AGE,
) -> Calibration:
    """Learn a calibration.

    Args:
        distributions: ``[N, K]`` as the model gives them.
        true: ``[N]`` ages in completed years.
        ages: ``[K]`` that the distributions are over.
        own_age: how much the faces near an age count for it, over all faces; 0 to 1.

    Raises:
        DataError: fewer than `MIN_FACES` faces.
    """
    if len(true) < MIN_FACES:
        raise DataError(f"{len(true)} faces are too few to calibrate on: {MIN_FACES} are needed")
    temperature = fit_temperature(distributions, true, ages)
    ranks = rank(Calibration(temperature=temperature).tempered(distributions))
    own = ranks[np.arange(len(true)), np.searchsorted(ages, true)]
    order = np.argsort(own)
    own, sorted_true = own[order], true[order].astype(float)
    everyone = _weighted_levels(own, np.ones(len(own)))
    table = [
        own_age * _weighted_levels(own, nearness(sorted_true, anchor)) + (1 - own_age) * everyone
        for anchor in ANCHORS
    ]
    return Calibration(temperature, ANCHORS, LEVELS, np.round(table, 5), len(true))


def _weighted_levels(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted quantiles of sorted values at `LEVELS`; a missing face stands at each end.

    The two that are missing are the one to come, which may lie beyond all the others: the "n + 1"
    of conformal prediction.
    """
    extra = weights.max() / 2
    cumulative = np.concatenate([[0], extra + weights.cumsum() - weights / 2, [0]])
    cumulative[-1] = weights.sum() + 2 * extra
    shares, ends = cumulative / cumulative[-1], np.concatenate([[0], values, [1]])
    return np.asarray(np.interp(LEVELS, shares, ends))


def calibrate(
    model: Path,
    dataset: Dataset,
    *,
    splits: Sequence[str] = ("calibration",),
    jobs: int | None = None,
    progress: Progress = silent,
) -> tuple[Calibration, pd.DataFrame]:
    """Calibrate a model file on held-out faces, and write the calibration into it.

    Args:
        model: a model file; an earlier calibration in it is replaced.
        dataset: a prepared dataset.
        splits: whose faces the network has not learnt from.
        jobs: pictures in work at once.
        progress: called with the number of pictures done and their total.

    Returns:
        The calibration, and the predictions that it was learnt from.
    """
    tables = [
        predict_split(
            model, dataset, split, jobs=jobs, calibration=Calibration(), progress=progress
        )
        for split in splits
    ]
    table = pd.concat(tables, ignore_index=True)
    found = table[table["predicted"].notna()]
    distributions, ages = distributions_of(found)
    fitted = fit_calibration(distributions, found["age"].to_numpy(int), ages)
    about = AgeModel(model).metadata | {"calibration": fitted.to_dict()}
    text = json.dumps(about, sort_keys=True)
    with atomic_path(model) as partial:
        graph = onnx.load(model)
        facts = {entry.key: entry.value for entry in graph.metadata_props}
        onnx.helper.set_model_props(graph, facts | {METADATA_KEY: text})
        onnx.save(graph, partial)
    return fitted, found

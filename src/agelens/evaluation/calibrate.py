"""`agelens calibrate`: fit a model's calibration on held-out faces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from agelens.data.bands import alike, as_bands, bands_of
from agelens.data.manifest import Dataset
from agelens.errors import DataError
from agelens.estimator import AgeEstimator
from agelens.evaluation.predictions import distributions_of, predict_split
from agelens.files import atomic_path
from agelens.parallel import Progress, silent
from agelens.pipeline.calibration import Calibration, density_rank
from agelens.pipeline.model import METADATA_KEY

ANCHORS = np.array([0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75,
                    80, 85, 90], float)  # fmt: skip
LEVELS = np.linspace(0, 1, 41)
OWN_AGE = 0.85
"""Weight of the faces near an age in its score quantiles; all faces have the rest. 1 would be exact
for each age, and wider: for `light`, on validation, 0, 0.5, 0.85 and 1 cover 81, 85, 86 and 86 % of
the worst age band at 3.9, 4.0, 4.1 and 4.2 times the error (research/interval_methods.py)."""
OLD, OLD_WEIGHT = 60, 1.75
"""From which age on a face counts more in the fit of the class bias, and how much: old faces are
few, and their errors are the largest (research/class_bias.py)."""
HOLD = 500.0
"""Strength of the penalty that keeps the class bias near 1; it does not grow with the number of
faces, so that few faces change the class bias little (research/class_bias.py)."""
MIN_FACES = 100


def nearness(ages: NDArray[np.floating], anchor: float) -> NDArray[np.float64]:
    """How much faces of these ages count at an anchor: a Gaussian, wider where ages are rarer."""
    distance = ((ages - anchor) / (1.0 + 0.1 * anchor)) ** 2 / 2
    return np.asarray(np.exp(distance.min() - distance))  # the nearest count 1, however far


def fit_temperature(
    distributions: NDArray[np.floating],
    labels: NDArray[np.integer],
    ages: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
) -> float:
    """The temperature with the lowest negative log-likelihood (Guo et al., ICML 2017).

    Args:
        distributions: ``[N, K]``.
        labels: ages ``[N]`` or bands of ages ``[N, 2]``, completed years.
        ages: ``[K]`` that the distributions are over.
        weights: ``[N]``, how much each face counts; by default all alike.
    """
    inside = _inside(labels, ages)

    def negative_log_likelihood(log_temperature: float) -> float:
        tempered = Calibration(temperature=float(np.exp(log_temperature))).calibrated(distributions)
        mass = np.where(inside, tempered, 0).sum(axis=1)
        return float(np.average(-np.log(np.maximum(mass, 1e-12)), weights=weights))

    return float(
        np.exp(minimize_scalar(negative_log_likelihood, bounds=(-1, 1), method="bounded").x)
    )


def fit_class_bias(
    tempered: NDArray[np.floating],
    labels: NDArray[np.integer],
    ages: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
    *,
    old_weight: float = OLD_WEIGHT,
    hold: float = HOLD,
) -> NDArray[np.float64]:
    """Fit the class bias: a factor for each age's probability, so that medians err less.

    A bias of each age's log-probability, linear between `ANCHORS` (bias-corrected temperature
    scaling; Alexandari, Kundaje and Shrikumar, ICML 2020), that makes the ranked probability score
    lowest: the squared distance of the cumulative distribution from the true age's, of which the
    absolute error is the case of a certain one (Gneiting and Raftery, JASA 2007). Of a band, the
    true cumulative distribution is known outside of it, and only there it is compared.

    Args:
        tempered: ``[N, K]``, rows that sum to 1.
        labels: ages ``[N]`` or bands of ages ``[N, 2]``, completed years.
        ages: ``[K]`` that the distributions are over.
        weights: ``[N]``, how much each face counts; by default all alike.
        old_weight: how many times a face of `OLD` years or more counts.
        hold: weight of the mean square of the terms, beside the faces' scores.

    Returns:
        ``[K]``, over 0.
    """
    spread = np.stack([np.interp(ages, ANCHORS, row) for row in np.eye(len(ANCHORS))], axis=1)
    low, high = as_bands(labels).T
    reached, known = ages >= high[:, None], ~_inside(np.stack([low, high - 1], axis=1), ages)
    factors = np.where(low >= OLD, old_weight, 1.0) * (1.0 if weights is None else weights)
    factors = known * (factors / factors.mean())[:, None]

    def score(terms: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        mass = tempered * np.exp(spread @ terms)
        mass /= mass.sum(axis=1, keepdims=True)
        missed = mass.cumsum(axis=1) - reached
        total = (factors * missed**2).sum() + hold * (terms**2).mean()
        # An age's probability moves the cumulative distribution from that age on.
        slope = 2 * (factors * missed)[:, ::-1].cumsum(axis=1)[:, ::-1]
        slope = mass * (slope - (mass * slope).sum(axis=1, keepdims=True))
        return total, slope.sum(axis=0) @ spread + 2 * hold * terms / len(terms)

    found = minimize(score, np.zeros(len(ANCHORS)), jac=True, method="L-BFGS-B")
    return np.asarray(np.exp(spread @ found.x))


def fit_calibration(
    distributions: NDArray[np.floating],
    labels: NDArray[np.integer],
    ages: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
    *,
    own_age: float = OWN_AGE,
) -> Calibration:
    """Learn a calibration.

    A face whose label is a band counts as one of each of its ages, in the proportions in which the
    model, already adjusted, takes them to be likely.

    Args:
        distributions: ``[N, K]`` as the model gives them.
        labels: ages ``[N]`` or bands of ages ``[N, 2]``, completed years.
        ages: ``[K]`` that the distributions are over.
        weights: ``[N]``, how much each face counts; by default all alike.
        own_age: how much the faces near an age count for it, over all faces; 0 to 1.

    Raises:
        DataError: fewer than `MIN_FACES` faces.
    """
    faces = len(labels)
    if faces < MIN_FACES:
        raise DataError(f"{faces} faces are too few to calibrate on: {MIN_FACES} are needed")
    temperature = fit_temperature(distributions, labels, ages, weights)
    tempered = Calibration(temperature=temperature).calibrated(distributions)
    class_bias = np.round(fit_class_bias(tempered, labels, ages, weights), 5)
    adjusted = Calibration(temperature, class_bias).calibrated(distributions)
    inside = _inside(labels, ages)
    parts = np.where(inside, np.maximum(adjusted, 1e-12), 0)
    parts *= (np.ones(faces) if weights is None else weights)[:, None] / parts.sum(1, keepdims=True)
    face, column = np.nonzero(inside)
    own, parts = density_rank(adjusted)[face, column], parts[face, column]
    order = np.argsort(own)
    own, parts, true = own[order], parts[order], ages[column[order]].astype(float)
    everyone = _weighted_levels(own, parts)
    table = [
        own_age * _weighted_levels(own, parts * nearness(true, anchor)) + (1 - own_age) * everyone
        for anchor in ANCHORS
    ]
    return Calibration(temperature, class_bias, ANCHORS, LEVELS, np.round(table, 5), faces)


def _inside(labels: NDArray[np.integer], ages: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which of the ages ``[K]`` each label holds, ``[N, K]``."""
    low, high = as_bands(labels).T[:, :, None]
    return np.asarray((ages >= low) & (ages <= high))


def _weighted_levels(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted quantiles of sorted values at `LEVELS`, with one more face above all.

    That is the one to come, which may lie beyond the others: the "n + 1" of conformal prediction.
    """
    whole = weights.sum() + 1
    fractions = np.concatenate([[0], (weights.cumsum() - weights / 2) / whole, [1]])
    return np.asarray(np.interp(LEVELS, fractions, np.concatenate([[0], values, [1]])))


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
    # The model's own distributions: an earlier calibration must not change what is learnt now.
    estimator = AgeEstimator(model, threads=1, calibration=Calibration())
    tables = [
        predict_split(estimator, dataset, split, bands=True, jobs=jobs, progress=progress)
        for split in splits
    ]
    table = pd.concat(tables, ignore_index=True)
    found = table[table["predicted"].notna()]
    distributions, ages = distributions_of(found)
    fitted = fit_calibration(distributions, bands_of(found), ages, alike(found))
    about = estimator.model.metadata | {"calibration": fitted.to_dict()}
    text = json.dumps(about, sort_keys=True)
    with atomic_path(model) as partial:
        graph = onnx.load(model)
        facts = {entry.key: entry.value for entry in graph.metadata_props}
        onnx.helper.set_model_props(graph, facts | {METADATA_KEY: text})
        onnx.save(graph, partial)
    return fitted, found

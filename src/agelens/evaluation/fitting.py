"""What `agelens calibrate` fits: a calibration that makes held-out faces' labels likely."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from agelens.data.bands import as_bands
from agelens.pipeline.calibration import Calibration, density_rank

ANCHORS = np.array([0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75,
                    80, 85, 90], float)  # fmt: skip
LEVELS = np.linspace(0, 1, 41)
OWN_AGE = 0.85
"""Weight of the faces near an age in its score quantiles; all faces have the rest. 1 would be exact
for each age, and wider; with less, intervals hold fewer of the old: for `light`, on validation, 0,
0.5, 0.85 and 1 hold 26, 28, 31 and 31 of APPA-REAL's 35 faces of 70 and over, at 4.0, 4.0, 4.1 and
4.2 times the error (research/training-log.md). On UTKFace alone the worst age band is held alike
(research/interval_methods.py)."""
OLD, OLD_WEIGHT = 60, 1.75
"""From which age on a face counts more in the fit of the class bias, and how much: old faces are
few, and their errors are the largest (research/class_bias.py)."""
HOLD = 500.0
"""Strength of the penalty that keeps the class bias near 1; it does not grow with the number of
faces, so that few faces change the class bias little (research/class_bias.py)."""
FEW_NEAR = 50.0
"""So many faces near an age count as much for it, when a calibration is adapted, as what all faces
say of it (research/adapting.py)."""


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
    base: Calibration | None = None,
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
        base: the calibration to begin with, learnt from other faces. What is learnt then corrects
            it: by age where there are faces enough (see `FEW_NEAR`), for all ages alike elsewhere.
    """
    start = base or Calibration()
    known = start.calibrated(distributions)
    temperature = fit_temperature(known, labels, ages, weights)
    tempered = Calibration(temperature=temperature).calibrated(known)
    class_bias = fit_class_bias(tempered, labels, ages, weights)
    both = Calibration(
        start.temperature * temperature,
        np.round(start.class_bias ** (1 / temperature) * class_bias, 5),
    )
    adjusted = both.calibrated(distributions)
    table = score_quantiles(adjusted, labels, ages, weights, own_age=own_age, base=base)
    return replace(both, anchors=ANCHORS, levels=LEVELS, score_quantiles=table, faces=len(labels))


def score_quantiles(
    adjusted: NDArray[np.floating],
    labels: NDArray[np.integer],
    ages: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
    *,
    own_age: float = OWN_AGE,
    base: Calibration | None = None,
) -> NDArray[np.float64]:
    """The score quantiles of a calibration at `ANCHORS` and `LEVELS`, ``[A, L]``.

    Args:
        adjusted: ``[N, K]``, corrected by temperature and class bias.
        labels: as for `fit_calibration`, and so the others.
        ages: ``[K]``.
        weights: ``[N]``.
        own_age: how much the faces near an age count for it, over all faces; 0 to 1.
        base: the calibration whose quantiles are corrected.
    """
    start, inside = base or Calibration(), _inside(labels, ages)
    parts = np.where(inside, np.maximum(adjusted, 1e-12), 0)
    each_face = np.ones(len(labels)) if weights is None else weights
    parts *= each_face[:, None] / parts.sum(1, keepdims=True)
    face, column = np.nonzero(inside)
    # Where in its band a face is, only the model says, which is overconfident: the rank that is
    # never the smaller one makes up for that.
    one_age = inside.sum(axis=1, keepdims=True) == 1
    score = np.where(one_age, interval_rank(adjusted), density_rank(adjusted))
    own, parts = score[face, column], parts[face, column]
    expected = _quantiles_of(start, ages)
    for each in np.unique(column):  # the level at which the base holds the true age
        own[column == each] = np.interp(own[column == each], expected[each], LEVELS)
    order = np.argsort(own)
    own, parts, true = own[order], parts[order], ages[column[order]].astype(float)
    everyone = _weighted_levels(own, parts)
    table = []
    for anchor, known in zip(ANCHORS, _quantiles_of(start, ANCHORS), strict=True):
        near = parts * nearness(true, anchor)
        faces = near.sum() ** 2 / (near**2).sum()  # as many of one weight (Kish, 1965)
        share = own_age if base is None else own_age * faces / (faces + FEW_NEAR)
        levels = share * _weighted_levels(own, near) + (1 - share) * everyone
        table.append(np.interp(levels, LEVELS, known))
    return np.round(table, 5)


def interval_rank(distributions: NDArray[np.floating]) -> NDArray[np.float64]:
    """The smallest limit on the rank at which an interval holds each age, ``[N, K]``.

    An interval has no gaps: it holds an age as soon as one below and one above are within the limit
    (`agelens.pipeline.calibration.intervals`), so that this is less than the `density_rank` where a
    distribution goes up and down. That the limit of an interval differs a little from age to age,
    and that it always holds the median, is left out: it matters for the shortest intervals only.

    Args:
        distributions: ``[N, K]``.
    """
    rank = density_rank(distributions)
    below = np.minimum.accumulate(rank, axis=1)
    above = np.minimum.accumulate(rank[:, ::-1], axis=1)[:, ::-1]
    return np.maximum(below, above)


def _quantiles_of(calibration: Calibration, ages: NDArray[np.floating]) -> NDArray[np.float64]:
    """Its score quantiles at these ages ``[K]`` and `LEVELS`, ``[K, L]``."""
    return np.stack([calibration.largest_rank(ages, level) for level in LEVELS], axis=1)


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

"""Answers to the skew of ages and groups: weights, rates of sampling, what a group alone says."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agelens.data.bands import Bands, bands_of
from agelens.errors import RecipeError
from agelens.training.recipe import Imbalance

LDS_SIGMA = 2.0
"""Width in years of the kernel that smooths the label density; 2 in the paper's experiments."""
SHARED_FACES = 100
"""Faces with the ages of all that are added to each group, of which a few would say too much."""


def label_density(labels: Bands, classes: int, sigma: float) -> NDArray[np.float64]:
    """Number of examples near every age, ``[classes]``: a histogram, smoothed by a Gaussian.

    An example whose label is a band counts a part for each of its years. Close ages look alike, so
    that the data for an age is also that of its neighbours: label distribution smoothing (Yang et
    al., ICML 2021, "Delving into Deep Imbalanced Regression").
    """
    counts = np.zeros(classes)
    for (low, high), number in zip(*np.unique(labels, axis=0, return_counts=True), strict=True):
        counts[low : high + 1] += number / (high + 1 - low)
    grid = np.arange(classes)
    kernel = np.exp(-((grid[:, None] - grid) ** 2) / (2 * sigma**2))
    density: NDArray[np.float64] = kernel / kernel.sum(1, keepdims=True) @ counts
    return density


def sqrt_sampling(kinds: NDArray[np.int64]) -> NDArray[np.float64]:
    """A probability for every example, ``[N]``: inverse to the square root of its kind's count.

    Between the data as they are and every kind equally often (Mahajan et al., ECCV 2018). The kinds
    are ages, or numbers of groups.
    """
    rates: NDArray[np.float64] = 1 / np.sqrt(np.bincount(kinds)[kinds])
    rates /= rates.sum()
    return rates


def sampling_rates(faces: pd.DataFrame, sampling: str) -> NDArray[np.float64]:
    """Probabilities to draw faces by, ``[N]``, for a recipe's ``imbalance.sampling``.

    Args:
        faces: usable manifest rows.
        sampling: "none": all faces alike; "sqrt": a label, an age or a band, of a source is a kind;
            "sqrt_groups": a decade of an ethnicity of a source is.
    """
    if sampling == "none":
        return np.full(len(faces), 1 / len(faces))
    kinds = [faces["source"], faces["age_low"], faces["age_high"]]
    if sampling == "sqrt_groups":
        kinds = [faces["source"], faces["age_low"] // 10, faces["ethnicity"]]
    numbers = faces.groupby(kinds, dropna=False).ngroup()
    return sqrt_sampling(numbers.to_numpy().astype(np.int64))


def drawing_rates(faces: pd.DataFrame, wanted: Imbalance) -> NDArray[np.float64] | None:
    """Probabilities to draw faces by, ``[N]``, with each source as often as the recipe says.

    Returns:
        None where the recipe leaves faces and sources as they are.

    Raises:
        RecipeError: ``imbalance.sources`` does not name the sources of the data.
    """
    if wanted.sampling == "none" and not wanted.sources:
        return None
    rates = sampling_rates(faces, wanted.sampling)
    if not wanted.sources:
        return rates
    names = sorted(set(faces["source"]))
    if names != sorted(wanted.sources):
        raise RecipeError(
            f"imbalance.sources names {', '.join(sorted(wanted.sources))}; the data are of "
            f"{', '.join(names)}"
        )
    totals = pd.Series(rates).groupby(faces["source"].to_numpy()).transform("sum").to_numpy()
    rates = rates / totals * faces["source"].map(wanted.sources).to_numpy(np.float64)
    return np.asarray(rates / rates.sum(), np.float64)


def sqrt_lds_weights(labels: Bands, classes: int) -> NDArray[np.float64]:
    """A weight for every age, ``[classes]``: inverse to the square root of its smoothed density.

    Their mean over the examples' `labels` ``[N, 2]`` is 1, so that the learning rate keeps its
    meaning.
    """
    density = label_density(labels, classes, LDS_SIGMA)
    weights: NDArray[np.float64] = 1 / np.sqrt(np.maximum(density, 1.0))
    sums = np.append(0, weights.cumsum())
    low, high = labels.T
    weights /= ((sums[high + 1] - sums[low]) / (high + 1 - low)).mean()
    return weights


def group_evidence(
    faces: pd.DataFrame, classes: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What gender and ethnicity alone say of an age: log p(age | group) - log p(age).

    Added to a network's logits while it learns, so that it need not learn this itself, and its own
    answer supposes the ages of all of whoever it sees: logit adjustment (Menon et al., ICLR 2021)
    with groups in the place of classes. A face that is served needs no group.

    Args:
        faces: usable manifest rows; ``gender`` and ``ethnicity`` may be missing.
        classes: ages that are told apart.

    Returns:
        The group of each face, ``[N]``, and the evidence of each group, ``[groups, classes]``.
    """
    labels = bands_of(faces)
    kinds = faces.groupby(["gender", "ethnicity"], dropna=False).ngroup()
    groups = kinds.to_numpy().astype(np.int64)
    counts = np.bincount(groups)[:, None]
    fractions = counts / len(groups)
    members = [labels[groups == group] for group in range(len(counts))]
    densities = np.stack([label_density(own, classes, LDS_SIGMA) for own in members])
    # p(age | group) / p(age) as p(group | age) / p(group), with one more face, of all groups in
    # their fractions, at every age: 1 where there is nobody.
    ratios = (densities + fractions) / (densities.sum(axis=0) + 1) / fractions
    evidence = np.log((counts * ratios + SHARED_FACES) / (counts + SHARED_FACES))
    return groups, np.asarray(evidence, np.float64)

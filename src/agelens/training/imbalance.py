"""Answers to the skew of ages and groups: weights, rates of sampling, what a group alone says."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LDS_SIGMA = 2.0
"""Width in years of the kernel that smooths the label density; 2 in the paper's experiments."""
SHARED_FACES = 100
"""Faces with the ages of all that are added to each group, of which a few would say too much."""


def label_density(ages: NDArray[np.int64], classes: int, sigma: float) -> NDArray[np.float64]:
    """Number of examples near every age, ``[classes]``: a histogram, smoothed by a Gaussian.

    Close ages look alike, so that the data for an age is also that of its neighbours: label
    distribution smoothing (Yang et al., ICML 2021, "Delving into Deep Imbalanced Regression").
    """
    counts = np.bincount(ages, minlength=classes).astype(float)
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
        faces: their ``age`` in years and ``ethnicity``, which may be missing.
        sampling: "sqrt": an age is a kind; "sqrt_groups": a decade of an ethnicity is.
    """
    if sampling == "sqrt":
        return sqrt_sampling(faces["age"].to_numpy(np.int64))
    groups = faces.groupby([faces["age"] // 10, "ethnicity"], dropna=False)
    return sqrt_sampling(groups.ngroup().to_numpy().astype(np.int64))


def sqrt_lds_weights(ages: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """A weight for every age, ``[classes]``: inverse to the square root of its smoothed density.

    Their mean over the examples `ages` is 1, so that the learning rate keeps its meaning.
    """
    density = label_density(ages, classes, LDS_SIGMA)
    weights: NDArray[np.float64] = 1 / np.sqrt(np.maximum(density, 1.0))
    weights /= weights[ages].mean()
    return weights


def group_evidence(
    faces: pd.DataFrame, classes: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What gender and ethnicity alone say of an age: log p(age | group) - log p(age).

    Added to a network's logits while it learns, so that it need not learn this itself, and its own
    answer supposes the ages of all of whoever it sees: logit adjustment (Menon et al., ICLR 2021)
    with groups in the place of classes. A face that is served needs no group.

    Args:
        faces: their ``age`` in years, ``gender`` and ``ethnicity``, which may be missing.
        classes: ages that are told apart.

    Returns:
        The group of each face, ``[N]``, and the evidence of each group, ``[groups, classes]``.
    """
    ages = faces["age"].to_numpy(np.int64)
    kinds = faces.groupby(["gender", "ethnicity"], dropna=False).ngroup()
    groups = kinds.to_numpy().astype(np.int64)
    counts = np.bincount(groups)[:, None]
    shares = counts / len(groups)
    members = [ages[groups == group] for group in range(len(counts))]
    densities = np.stack([label_density(own, classes, LDS_SIGMA) for own in members])
    # p(age | group) / p(age) as p(group | age) / p(group), with one more face, of all groups in
    # their shares, at every age: 1 where there is nobody.
    ratios = (densities + shares) / (densities.sum(axis=0) + 1) / shares
    evidence = np.log((counts * ratios + SHARED_FACES) / (counts + SHARED_FACES))
    return groups, np.asarray(evidence, np.float64)

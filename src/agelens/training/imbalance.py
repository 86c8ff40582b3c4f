"""Answers to the skew of ages and groups: a weight in the loss, or a rate of sampling."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LDS_SIGMA = 2.0
"""Width in years of the kernel that smooths the label density; 2 in the paper's experiments."""


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

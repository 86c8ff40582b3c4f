"""Answers to the skew of the ages: a weight in the loss, or a rate of sampling, for every age."""

from __future__ import annotations

import numpy as np
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


def sqrt_sampling(ages: NDArray[np.int64]) -> NDArray[np.float64]:
    """A probability for every example, ``[N]``: inverse to the square root of its age's count.

    Between the data as they are and every age equally often (Mahajan et al., ECCV 2018).
    """
    rates: NDArray[np.float64] = 1 / np.sqrt(np.bincount(ages)[ages])
    rates /= rates.sum()
    return rates


def sqrt_lds_weights(ages: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """A weight for every age, ``[classes]``: inverse to the square root of its smoothed density.

    Their mean over the examples `ages` is 1, so that the learning rate keeps its meaning.
    """
    density = label_density(ages, classes, LDS_SIGMA)
    weights: NDArray[np.float64] = 1 / np.sqrt(np.maximum(density, 1.0))
    weights /= weights[ages].mean()
    return weights

"""Statistics of a manifest's labels. Pure functions of pandas columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from agelens.ages import AGE_BANDS, BAND_NAMES
from agelens.pipeline.calibration import quantile

BETA = 0.999
"""How much of a further example is new information (Cui et al.); 0.999 suits tens of thousands."""
HEAP = 1.5
"""How many times its neighbours' count a year must have to be called a heap."""


def age_summary(ages: pd.Series) -> dict[str, float]:
    """Count, mean, median, standard deviation, skewness (Fisher-Pearson), and ends."""
    values = ages.to_numpy(float)
    return {
        "count": len(values),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "standard_deviation": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "skewness": float(stats.skew(values)) if np.ptp(values) else 0.0,
        "least": float(values.min()),
        "greatest": float(values.max()),
        "fraction_under_40": float((values < 40).mean()),
    }


def band_counts(ages: pd.Series) -> dict[str, int]:
    """How many rows each of the evaluation's age bands has."""
    counts, _ = np.histogram(ages.to_numpy(float), AGE_BANDS)
    return dict(zip(BAND_NAMES, counts.tolist(), strict=True))


def age_counts(ages: pd.Series) -> NDArray[np.int64]:
    """How many rows each year has, from 0 to the greatest age."""
    return np.bincount(ages.to_numpy(np.int64))


def heaps(counts: NDArray[np.int64], least: int = 30) -> dict[int, float]:
    """Years that stand out, and by how much: their count over their neighbours' median.

    Neighbours are the three years on each side. Years with fewer than `least` rows say nothing.
    """
    found = {}
    for age, count in enumerate(counts):
        around = np.concatenate([counts[max(0, age - 3) : age], counts[age + 1 : age + 4]])
        if count >= least and len(around) >= 3 and np.median(around) > 0:
            ratio = float(count / np.median(around))
            if ratio >= HEAP:
                found[age] = ratio
    return found


def whipple(counts: NDArray[np.int64]) -> float | None:
    """Whipple's index: 100 without preference for ages that end in 0 or 5, 500 with nothing else.

    The fraction of ages 25, 30, ... 60 among 23 to 62, times 5 (United Nations, Demographic
    Yearbook). None when there are no such ages.
    """
    whole = counts[23:63].sum()
    return float(500 * counts[25:61:5].sum() / whole) if whole else None


def effective_number(counts: NDArray[np.int64], beta: float = BETA) -> NDArray[np.float64]:
    """Effective number of samples, ``(1 - beta^n) / (1 - beta)`` (Cui et al., CVPR 2019)."""
    effective: NDArray[np.float64] = (1 - np.power(beta, counts.astype(float))) / (1 - beta)
    return effective


def splits_agree(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Tests that the splits are drawn from one population.

    Ages by the k-sample Anderson-Darling test (Scholz and Stephens 1987), gender and ethnicity by
    Pearson's chi-squared with Cramer's V, each over all splits.

    Returns:
        Statistic and p-value by topic; a small p says that the splits differ. A topic without two
        values, or two splits to compare, is left out.
    """
    tests: dict[str, dict[str, float]] = {}
    parts = [part["age"].to_numpy(float) for _, part in rows.groupby("split") if len(part) > 1]
    if len(parts) > 1 and len(np.unique(np.concatenate(parts))) > 1:
        found = stats.anderson_ksamp(
            parts, variant="midrank", method=stats.PermutationMethod(n_resamples=199, rng=0)
        )
        distances = [stats.ks_2samp(part, np.concatenate(parts)).statistic for part in parts]
        tests["age"] = {
            "anderson_darling": float(found.statistic),
            "p": float(found.pvalue),
            "largest_distance_of_distributions": float(max(distances)),
        }
    for topic in ("gender", "ethnicity"):
        table = pd.crosstab(rows[topic], rows["split"])
        if min(table.shape) > 1:
            found = stats.chi2_contingency(table)
            tests[topic] = {
                "chi_squared": float(found.statistic),
                "degrees_of_freedom": int(found.dof),
                "p": float(found.pvalue),
                "cramers_v": float(stats.contingency.association(table)),
            }
    return tests


def label_quality(
    ages: NDArray[np.float64], distribution: NDArray[np.float64], grid: NDArray[np.float64]
) -> pd.DataFrame:
    """How well each label fits what a model that never saw it says of the picture.

    The label quality, 0 to 1, is the two-sided tail probability of the label under the predicted
    distribution: a large error counts less where the model is unsure, and a low quality says that
    the label is likely to be wrong. It is the regression form of confident learning's idea
    (Northcutt et al., JAIR 2021), with the model's own distribution for its noise.

    Args:
        ages: ``[N]`` labels in years.
        distribution: ``[N, K]`` held-out predictions.
        grid: ``[K]`` ages that they are over.

    Returns:
        ``predicted`` age, ``label_quality``, and ``error`` (prediction minus
        label, in years), rows as given.
    """
    cumulative = distribution.cumsum(1)
    index = np.searchsorted(grid, ages)
    at = np.take_along_axis(distribution, index[:, None], 1)[:, 0]
    below = np.take_along_axis(cumulative, index[:, None], 1)[:, 0] - at / 2
    quality = 2 * np.minimum(below, 1 - below).clip(0, 0.5)
    predicted = quantile(distribution, grid, 0.5)
    return pd.DataFrame(
        {"predicted": predicted, "label_quality": quality, "error": predicted - ages}
    )
